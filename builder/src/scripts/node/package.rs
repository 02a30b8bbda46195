//! A package.json: where a package begins, and what it gives to others (Node's documentation, Modules: Packages).

use serde_json::Value;

use crate::rootfs::root::Rootfs;

/// The conditions that Node meets; both ways to load count.
const CONDITIONS: [&str; 6] = ["node-addons", "node", "import", "require", "module-sync", "default"];

/// Most targets of one name.
const TARGETS_MAX: usize = 16;

/// A package.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its folder.
    pub folder: String,
    json: Value,
}

impl Package {
    /// The package of this folder, if it is one.
    pub fn read(root: &dyn Rootfs, folder: &str) -> Option<Package> {
        let text = root.text(&format!("{folder}/package.json"))?;
        let json: Value = serde_json::from_str(&text).ok()?;
        json.is_object().then(|| Package { folder: folder.to_owned(), json })
    }

    /// Its name.
    pub fn name(&self) -> Option<&str> {
        self.json["name"].as_str()
    }

    /// Its first module, where it says so.
    pub fn main(&self) -> Option<&str> {
        self.json["main"].as_str()
    }

    /// Whether it has programs.
    pub fn has_programs(&self) -> bool {
        !self.json["bin"].is_null()
    }

    /// Whether it says what others may load.
    pub fn has_exports(&self) -> bool {
        !self.json["exports"].is_null()
    }

    /// What a name below it (`.`, `./x`) may stand for: paths below its folder.
    pub fn exports(&self, name: &str) -> Vec<String> {
        let exports = &self.json["exports"];
        let named = exports.as_object().is_some_and(|map| map.keys().any(|key| key.starts_with('.')));
        if named {
            mapped(exports, name)
        } else if name == "." {
            targets(exports, "")
        } else {
            Vec::new()
        }
    }

    /// What a name of its own (`#x`) stands for.
    pub fn imports(&self, name: &str) -> Vec<String> {
        mapped(&self.json["imports"], name)
    }
}

/// The targets of a name in a map whose keys may have a star.
fn mapped(map: &Value, name: &str) -> Vec<String> {
    let Some(map) = map.as_object() else { return Vec::new() };
    if let Some(target) = map.get(name) {
        return targets(target, "");
    }
    let fits = |key: &String| {
        let (start, end) = key.split_once('*')?;
        let part = name.strip_prefix(start)?.strip_suffix(end)?;
        Some((start.len(), part.to_owned()))
    };
    let mut found: Vec<_> =
        map.iter().filter_map(|(key, target)| fits(key).map(|(len, part)| (len, part, target))).collect();
    found.sort_by_key(|(len, ..)| std::cmp::Reverse(*len));
    found.first().map(|(_, part, target)| targets(target, part)).unwrap_or_default()
}

/// The paths of a target, for all conditions that may be met. serde_json bounds its depth.
fn targets(target: &Value, star: &str) -> Vec<String> {
    let mut all: Vec<String> = match target {
        Value::String(path) => vec![path.replace('*', star)],
        Value::Array(list) => list.iter().flat_map(|target| targets(target, star)).collect(),
        Value::Object(map) => {
            let met = CONDITIONS.iter().filter_map(|condition| map.get(*condition));
            met.flat_map(|target| targets(target, star)).collect()
        }
        _ => Vec::new(),
    };
    all.truncate(TARGETS_MAX);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_are_found_by_condition_and_by_star() {
        let package = |json: &str| Package { folder: "/p".to_owned(), json: serde_json::from_str(json).unwrap() };
        let one = package(
            r#"{"exports": {".": {"import": "./a.mjs", "require": "./a.cjs", "browser": "./no"}, "./x/*.js": "./y/*.js", "./x/in/*": null}}"#,
        );
        assert_eq!(one.exports("."), ["./a.mjs", "./a.cjs"]);
        assert_eq!(one.exports("./x/b.js"), ["./y/b.js"]);
        assert!(one.exports("./x/in/b.js").is_empty() && one.exports("./z").is_empty());
        assert_eq!(package(r#"{"exports": "./a"}"#).exports("."), ["./a"]);
        assert_eq!(package(r##"{"imports": {"#a": {"default": "./b"}}}"##).imports("#a"), ["./b"]);
    }
}
