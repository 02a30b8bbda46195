//! The software bill of materials of a build: an SPDX 2.3 document (ISO/IEC 5962) in JSON.
//!
//! Takes the manifest; gives the document: each input a package with its hash, each image a package that contains its
//! files with theirs. The same build gives the same bytes: the name space is a hash, the time is SOURCE_DATE_EPOCH.

use serde_json::{Value, json};

use crate::digest::sha256;
use crate::manifest::{FileRecord, ImageRecord, InputRecord, Manifest};

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
            "created": time(u64::from(seconds)),
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

/// Seconds since 1970 as `2026-11-21T10:07:07Z` (days to date by the proleptic Gregorian calendar).
fn time(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March, so that the leap day is the last; 719,468 days lie between 0000-03-01 and 1970-01-01.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year_of_era + carry;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_234_567_890, "2009-02-13T23:31:30Z"),
            (4_294_967_295, "2106-02-07T06:28:15Z"),
        ] {
            assert_eq!(time(seconds), date);
        }
    }

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
