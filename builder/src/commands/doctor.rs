//! `vmatic doctor`: what this machine can do, and what to install.

use serde_json::json;

use crate::Exit;
use crate::doctor::{self, Finding, Level};
use crate::error::Result;
use crate::ui::print::{print, print_json};

/// Check what this machine can do (build, boot, serve, run guests) and what to install
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let findings = doctor::examine();
    if args.json {
        let row =
            |f: &Finding| json!({ "what": f.what, "level": f.level.word(), "found": f.found, "remedy": f.remedy });
        print_json(&findings.iter().map(row).collect::<Vec<_>>())?;
    } else {
        for finding in &findings {
            print(&format!("{:<8} {:<14} {}\n", finding.level.word(), finding.what, finding.found))?;
            if let Some(remedy) = &finding.remedy {
                print(&format!("{:24}{remedy}\n", ""))?;
            }
        }
    }
    let missing = findings.iter().any(|f| f.level == Level::Missing);
    Ok(if missing { Exit::Failed } else { Exit::Ok })
}
