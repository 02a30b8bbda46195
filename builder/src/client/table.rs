//! The table of a site's machines, which a console needs where the plan has no pattern for their names, and the
//! network, which it needs where an operator names its nodes.
//!
//! A welcome brings the plan's text, which names the table by its hash; its bytes lie in the output folder. Without
//! them hosts go by their numbers.

use std::fs;
use std::path::Path;

use vmatic_plan::Plan;

use crate::ui::say;

/// The plan with its table, if it needs one and the output folder of this cluster is here.
pub fn find(plan: Plan) -> Plan {
    if !plan.lacks_table() || !plan.hosts.is_listed() {
        return plan;
    }
    let path = Path::new("out").join(&plan.name).join("hosts");
    let found = fs::read(&path).map_err(|e| e.to_string());
    match found.and_then(|bytes| plan.clone().with_table(bytes).map_err(|e| e.kind.to_string())) {
        Ok(plan) => plan,
        Err(why) => {
            say::note(format!("hosts go by their numbers: their names are in {}: {why}", path.display()));
            plan
        }
    }
}

/// The plan with its network, where the output folder of this cluster is here and has it.
pub fn with_network(plan: Plan) -> Plan {
    if !plan.lacks_network() {
        return plan;
    }
    let text = fs::read_to_string(Path::new("out").join(&plan.name).join("network"));
    text.ok().and_then(|text| plan.clone().with_network(&text).ok()).unwrap_or(plan)
}
