//! The plan of the image, with what lies beside it, if it names that: the table of the site's machines, and the
//! network that guests make up.

use crate::error::{Context, Error};
use std::fs;
use std::path::Path;
use vmatic_plan::{Plan, host_image};

/// Reads the plan of this path; a table or network that is another than it names, or was cut, is refused.
pub fn read(path: &Path) -> Result<Plan, Error> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let mut plan = Plan::decode(&text).with_context(|| format!("use the plan {}", path.display()))?;
    let beside = |file: &str| path.with_file_name(Path::new(file).file_name().unwrap_or_default());
    if plan.lacks_table() {
        let file = beside(host_image::HOST_TABLE);
        let bytes = fs::read(&file).with_context(|| format!("read the host table {}", file.display()))?;
        plan = plan.with_table(bytes).with_context(|| format!("use the host table {}", file.display()))?;
    }
    if plan.lacks_network() {
        let file = beside(host_image::NETWORK);
        let text = fs::read_to_string(&file).with_context(|| format!("read the network {}", file.display()))?;
        plan = plan.with_network(&text).with_context(|| format!("use the network {}", file.display()))?;
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::host_table::{DraftHost, TableDraft};
    use vmatic_plan::network::{Draft, PlannedNetwork};
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

    #[test]
    fn a_network_is_read_beside_its_plan_and_no_other_is_taken() {
        let draft = |text: &str| Draft::decode(&format!("vmatic-network 1\n{text}\n")).unwrap();
        let (network, written) = PlannedNetwork::plan(&draft("line a[1-5]"), 1, 5).unwrap();
        let plan = Plan { guests_per_host: 5, network: Some(network), ..Plan::new("t", HostNames::count(1).unwrap()) };
        let folder = tempfile::tempdir().unwrap();
        let (text, beside) = (folder.path().join("plan"), folder.path().join("network"));
        fs::write(&text, plan.encode()).unwrap();
        let said = || read(&text).unwrap_err().to_string();
        assert!(said().contains("read the network"), "{}", said());
        fs::write(&beside, &written).unwrap();
        assert_eq!(read(&text).unwrap().network(), plan.network());
        for other in [&written[..20], "", "vmatic-network 1\nline a[1-4]\n"] {
            fs::write(&beside, other).unwrap();
            assert!(said().contains("use the network"), "{}", said());
        }
    }
}
