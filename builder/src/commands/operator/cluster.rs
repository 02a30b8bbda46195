//! The cluster that certificates are of: one that runs, or that of a spec.

use std::path::{Path, PathBuf};

use vmatic_plan::{NodeSet, Plan, parse_nodes};

use crate::client::cluster::ClusterArgs;
use crate::client::operation::{Console, nodes_of};
use crate::error::Result;
use crate::key::Key;
use crate::spec::Spec;

/// Which cluster it is about: one that runs, or that of a spec.
#[derive(clap::Args, Debug)]
pub struct Of {
    /// The cluster of this spec, which need not run, instead of one that does
    #[arg(long, value_name = "SPEC", conflicts_with_all = ["connect", "cluster", "operator"])]
    pub spec: Option<PathBuf>,
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// The cluster, and the key that is its own.
pub struct Cluster {
    /// Its plan.
    pub plan: Plan,
    /// Its own key.
    pub key: Key,
    /// At a host of it, where it runs.
    pub console: Option<Console>,
}

impl Of {
    /// Finds it; `what` is what only its own key may do.
    pub fn cluster(&self, what: &str) -> Result<Cluster> {
        if let Some(spec) = &self.spec {
            let key = crate::key::load()?;
            return Ok(Cluster { plan: plan_of(spec, &key)?, key, console: None });
        }
        let console = self.cluster.attach()?;
        let key = console.cluster_key(what)?.clone();
        Ok(Cluster { plan: console.plan.clone(), key, console: Some(console) })
    }
}

fn plan_of(spec: &Path, key: &Key) -> Result<Plan> {
    Ok(Spec::load(spec)?.plan(&key.of_cluster()?))
}

impl Cluster {
    /// The nodes of it that an expression names.
    pub fn nodes(&self, expression: &str) -> Result<NodeSet> {
        nodes_of(parse_nodes(expression, &self.plan), expression)
    }
}
