//! The software bill of materials of a build: an SPDX 2.3 document (ISO/IEC 5962) in JSON.
//!
//! Takes the manifest; gives the document: each input a package with its hash, each image a package that contains its
//! files with theirs. The same build gives the same bytes: the name space is a hash, the time is SOURCE_DATE_EPOCH.

use serde_json::{Value, json};

use crate::digest::sha256;
use crate::manifest::{FileRecord, ImageRecord, InputRecord, Manifest};
use crate::ui::date::rfc3339;

/// The file in the output folder.
pub const FILE: &str = "sbom.spdx.json";

/// The document of a build whose records have this time, in seconds since 1970.
pub fn document(manifest: &Manifest, seconds: u32) -> Value {
    let hashes: String = manifest.outputs.iter().map(|output| output.sha256.as_str()).collect();
    let name_space = format!("https://spdx.org/spdxdocs/vmatic-{}-{}", manifest.name, &sha256(hashes.as_bytes())[..32]);
    let mut packages = Vec::new();
    let mut files = Vec::new();
    let mut relations = Vec::new();
    for (index, image) in manifest.images.iter().enumerate() {
        let id = format!("SPDXRef-image-{}", image.which);
        packages.push(image_package(&id, image, &manifest.name));
        relations.push(relation("SPDXRef-DOCUMENT", "DESCRIBES", &id));
        for (number, file) in image.files.iter().enumerate().filter(|(_, file)| file.sha256.is_some()) {
            let file_id = format!("SPDXRef-file-{index}-{number}");
            relations.push(relation(&id, "CONTAINS", &file_id));
            files.push(file_entry(&file_id, file));
        }
    }
    for (index, input) in manifest.inputs.iter().enumerate() {
        let id = format!("SPDXRef-input-{index}");
        packages.push(input_package(&id, input));
        relations.push(relation(&id, "BUILD_DEPENDENCY_OF", "SPDXRef-image-host"));
    }
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": manifest.name,
        "documentNamespace": name_space,
        "creationInfo": {
            "created": rfc3339(u64::from(seconds)),
            "creators": [format!("Tool: vmatic-{}", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "files": files,
        "relationships": relations,
    })
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to })
}

fn checksum(sha256: &str) -> Value {
    json!([{ "algorithm": "SHA256", "checksumValue": sha256 }])
}

fn image_package(id: &str, image: &ImageRecord, name: &str) -> Value {
    json!({
        "SPDXID": id, "name": format!("{name} {} image", image.which), "versionInfo": image.kernel,
        "downloadLocation": "NOASSERTION", "filesAnalyzed": false, "primaryPackagePurpose": "OPERATING-SYSTEM",
    })
}

fn input_package(id: &str, input: &InputRecord) -> Value {
    // A Debian package's file is NAME_VERSION_ARCHITECTURE.deb; apt writes a version's colon as %3a.
    let mut words = input.file.trim_end_matches(".deb").split('_');
    let (name, version) = (words.next().unwrap_or(&input.file), words.next());
    let mut package = json!({ "SPDXID": id, "name": name, "downloadLocation": "NOASSERTION", "filesAnalyzed": false });
    if let Some(version) = version.map(|version| version.replace("%3a", ":")) {
        let locator = format!("pkg:deb/debian/{name}@{version}");
        package["externalRefs"] = json!([{ "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
            "referenceLocator": locator }]);
        package["versionInfo"] = json!(version);
    }
    if let Some(sha256) = &input.sha256 {
        package["checksums"] = checksum(sha256);
    }
    package
}

fn file_entry(id: &str, file: &FileRecord) -> Value {
    let from = file.origin.as_ref().map_or_else(String::new, |origin| format!("; from {origin}"));
    json!({
        "SPDXID": id, "fileName": format!(".{}", file.path),
        "checksums": checksum(file.sha256.as_deref().unwrap_or_default()),
        "comment": format!("{}: {}{from}", file.layer, file.reason),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_has_its_version_and_its_url() {
        let input = InputRecord {
            asked: "debian:git".to_owned(),
            file: "git_1%3a2.39.5-0_amd64.deb".to_owned(),
            sha256: Some("ab".to_owned()),
        };
        let package = input_package("SPDXRef-input-0", &input);
        assert_eq!(package["name"], "git");
        assert_eq!(package["versionInfo"], "1:2.39.5-0");
        assert_eq!(package["externalRefs"][0]["referenceLocator"], "pkg:deb/debian/git@1:2.39.5-0");
        assert_eq!(package["checksums"][0]["checksumValue"], "ab");
    }
}
