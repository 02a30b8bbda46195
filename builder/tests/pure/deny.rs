//! What `deny.toml` allows, held to without cargo-deny: it has only keys that cargo-deny knows, every licence and every
//! version that stands twice is in it, and nothing is in it that no dependency needs any more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde::Deserialize;

use crate::tidy::{metadata, report, root};

/// The file, as the four checks of cargo-deny read it (its documentation, "The [bans] section" and so on).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    graph: Graph,
    advisories: Advisories,
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Graph {
    targets: Vec<String>,
}

/// How much a finding counts.
#[derive(Deserialize, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
enum Level {
    Deny,
    Warn,
    Allow,
}

/// Whose unmaintained crates count.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unmaintained {
    All,
    Workspace,
    Transitive,
    None,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Advisories {
    #[serde(rename = "unmaintained")]
    _unmaintained: Unmaintained,
    yanked: Level,
    #[serde(default)]
    ignore: Vec<Ignored>,
}

/// An advisory, or a crate that was yanked, and why it is accepted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ignored {
    id: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Bans {
    multiple_versions: Level,
    wildcards: Level,
    allow_wildcard_paths: bool,
    skip: Vec<Skipped>,
}

/// A version that may stand beside a newer one: `NAME:<VERSION`, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Skipped {
    #[serde(rename = "crate")]
    spec: String,
    reason: String,
}

impl Skipped {
    /// The name, and the version below which it counts.
    fn parse(&self) -> Option<(&str, Vec<u64>)> {
        let (name, version) = self.spec.split_once(":<")?;
        Some((name, numbers(version)?))
    }

    fn fits(&self, name: &str, version: &[u64]) -> bool {
        self.parse().is_some_and(|(own, below)| own == name && version < &below[..])
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Sources {
    unknown_registry: Level,
    unknown_git: Level,
}

fn rules() -> Rules {
    let text = fs::read_to_string(root().join("deny.toml")).unwrap();
    toml::from_str(&text).unwrap_or_else(|error| panic!("deny.toml: {error}"))
}

/// 1.2.3 as numbers; what stands behind a `-` or `+` does not count.
fn numbers(version: &str) -> Option<Vec<u64>> {
    let version = version.split(['-', '+']).next()?;
    version.split('.').map(|number| number.parse().ok()).collect()
}

/// The crates that more than one version of goes into our programs, or into what makes them, on these targets.
fn duplicates(targets: &[String]) -> BTreeMap<String, BTreeSet<Vec<u64>>> {
    let mut all: BTreeMap<String, BTreeSet<Vec<u64>>> = BTreeMap::new();
    for target in targets {
        let words = ["tree", "--workspace", "--duplicates", "--depth", "0", "--prefix", "none", "--format", "{p}"];
        let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
            .args(words)
            .args(["--edges", "normal,build", "--target", target])
            .current_dir(root())
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let mut words = line.split_whitespace();
            if let (Some(name), Some(version)) = (words.next(), words.next()) {
                let version = numbers(version.trim_start_matches('v')).expect("a version");
                all.entry(name.to_owned()).or_default().insert(version);
            }
        }
    }
    // One version stands there twice where it is built for the program and for a macro with other features.
    all.retain(|_, versions| versions.len() > 1);
    all
}

/// The licences of an expression, as SPDX has them: of "A OR B" one is enough, of "A AND B" each is wanted.
fn terms(expression: &str) -> Vec<Vec<String>> {
    // The old "/" means OR.
    let expression = expression.replace('/', " OR ");
    let clean = |text: &str| text.trim().trim_matches(['(', ')']).trim().to_owned();
    expression.split(" AND ").map(|part| part.split(" OR ").map(clean).collect()).collect()
}

#[test]
fn the_rules_are_strict_and_give_reasons() {
    let rules = rules();
    assert_eq!(rules.graph.targets, ["x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl"]);
    let bans = &rules.bans;
    let levels = [&rules.advisories.yanked, &rules.sources.unknown_registry, &rules.sources.unknown_git];
    let mut levels = levels.into_iter().chain([&bans.multiple_versions, &bans.wildcards]);
    assert!(levels.all(|level| *level == Level::Deny) && bans.allow_wildcard_paths);
    let reasons = bans.skip.iter().map(|skipped| (&skipped.spec, &skipped.reason));
    for (what, reason) in reasons.chain(rules.advisories.ignore.iter().map(|ignored| (&ignored.id, &ignored.reason))) {
        assert!(reason.len() > 10, "{what}: {reason:?} is no reason");
    }
    for skipped in &bans.skip {
        assert!(skipped.parse().is_some(), "{}: write NAME:<VERSION", skipped.spec);
    }
}

#[test]
fn versions_that_stand_twice_are_named_and_no_others() {
    let rules = rules();
    let duplicates = duplicates(&rules.graph.targets);
    let mut wrong = Vec::new();
    for (name, versions) in &duplicates {
        let skipped = |version: &&Vec<u64>| rules.bans.skip.iter().any(|skip| skip.fits(name, version));
        let left = versions.iter().filter(|version| !skipped(version)).count();
        if left > 1 {
            wrong.push(format!("{name}: {versions:?}: {left} versions that deny.toml does not name"));
        }
    }
    for skip in &rules.bans.skip {
        let fits = |(name, versions): (&String, &BTreeSet<Vec<u64>>)| versions.iter().any(|v| skip.fits(name, v));
        if !duplicates.iter().any(fits) {
            wrong.push(format!("{}: no longer there beside a newer one: remove it", skip.spec));
        }
    }
    report("versions", wrong);
}

#[test]
fn the_licences_of_dependencies_go_with_ours() {
    let allowed = rules().licenses.allow;
    let mut wrong = Vec::new();
    let mut met = BTreeSet::new();
    for package in metadata()["packages"].as_array().unwrap() {
        let (name, licence) = (package["name"].as_str().unwrap(), package["license"].as_str().unwrap_or("none"));
        let terms = terms(licence);
        if !terms.iter().all(|any| any.iter().any(|licence| allowed.contains(licence))) {
            wrong.push(format!("{name}: {licence}"));
        }
        met.extend(terms.into_iter().flatten());
    }
    let stale = allowed.iter().filter(|licence| !met.contains(*licence));
    wrong.extend(stale.map(|licence| format!("{licence}: no dependency has it: remove it")));
    report("licences", wrong);
}

#[test]
fn our_own_crates_are_private_so_that_they_may_name_each_other_by_path() {
    let metadata = metadata();
    let ours = metadata["workspace_members"].as_array().unwrap();
    for package in metadata["packages"].as_array().unwrap().iter().filter(|package| ours.contains(&package["id"])) {
        let publish = &package["publish"];
        assert_eq!(publish.as_array().map(Vec::len), Some(0), "{}: publish = false is missing", package["name"]);
    }
}
