//! This machine's network cards, as the kernel has them.

use std::fs;
use std::path::PathBuf;
use vmatic_plan::Mac;

/// Where the kernel has them.
const FOLDER: &str = "/sys/class/net";
/// The kind of a card that speaks Ethernet (<linux/if_arp.h>, ARPHRD_ETHER).
const ETHERNET: &str = "1";

/// A card.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Card {
    /// Its name here.
    pub name: String,
    /// Its address on the wire.
    pub mac: Mac,
}

impl Card {
    fn says(&self, file: &str) -> Option<String> {
        Some(fs::read_to_string(PathBuf::from(FOLDER).join(&self.name).join(file)).ok()?.trim().to_owned())
    }

    /// Whether a cable is there, with something alive at its other end. One that is down does not say.
    pub fn has_carrier(&self) -> bool {
        self.says("carrier").as_deref() == Some("1")
    }

    /// Whether it leads out of this machine: real hardware is below it, or its other end is in another namespace.
    fn leads_out(&self) -> bool {
        let hardware = || PathBuf::from(FOLDER).join(&self.name).join("device").exists();
        let elsewhere = || self.says("iflink").is_some() && self.says("iflink") != self.says("ifindex");
        self.says("type").as_deref() == Some(ETHERNET) && (hardware() || elsewhere())
    }
}

/// The cards that lead out of this machine, by name.
pub fn cards() -> Vec<Card> {
    let Ok(entries) = fs::read_dir(FOLDER) else { return Vec::new() };
    let card = |entry: fs::DirEntry| {
        let mac = fs::read_to_string(entry.path().join("address")).ok()?.trim().parse().ok()?;
        Some(Card { name: entry.file_name().to_string_lossy().into_owned(), mac }).filter(Card::leads_out)
    };
    let mut cards: Vec<Card> = entries.flatten().filter_map(card).collect();
    cards.sort();
    cards
}
