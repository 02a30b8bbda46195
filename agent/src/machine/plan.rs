//! The plan of the image, with the table of the site's machines that lies beside it, if it names one.

use crate::error::{Context, Error};
use std::fs;
use std::path::Path;
use vmatic_plan::{Plan, host_image};

/// Reads the plan of this path; a table that is another than it names, or was cut, is refused.
pub fn read(path: &Path) -> Result<Plan, Error> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let plan = Plan::decode(&text).with_context(|| format!("use the plan {}", path.display()))?;
    if !plan.lacks_table() {
        return Ok(plan);
    }
    let beside = path.with_file_name(Path::new(host_image::HOST_TABLE).file_name().unwrap_or_default());
    let bytes = fs::read(&beside).with_context(|| format!("read the host table {}", beside.display()))?;
    plan.with_table(bytes).with_context(|| format!("use the host table {}", beside.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::host_table::{DraftHost, TableDraft};
    use vmatic_plan::{HostId, HostNames};

    #[test]
    fn a_table_is_read_beside_its_plan_and_no_other_is_taken() {
        let row = |n: u8| DraftHost { ipv4: Some([172, 20, 0, 100 + n].into()), ..DraftHost::default() };
        let table = |count| TableDraft { hosts: (1..=count).map(row).collect(), ..TableDraft::default() };
        let table = |count| table(count).finish().unwrap();
        let plan = Plan { host_table: Some(table(3)), ..Plan::new("t", HostNames::count(3).unwrap()) };
        let folder = tempfile::tempdir().unwrap();
        let (text, beside) = (folder.path().join("plan"), folder.path().join("hosts"));
        fs::write(&text, plan.encode()).unwrap();
        let said = || read(&text).unwrap_err().to_string();
        assert!(said().contains("read the host table"), "{}", said());
        fs::write(&beside, table(3).bytes().unwrap()).unwrap();
        assert_eq!(read(&text).unwrap().host_ipv4(HostId(3)), Some([172, 20, 0, 103].into()));
        for other in [table(2).bytes().unwrap().to_vec(), table(3).bytes().unwrap()[..40].to_vec(), Vec::new()] {
            fs::write(&beside, other).unwrap();
            assert!(said().contains("use the host table"), "{}", said());
        }
    }
}
