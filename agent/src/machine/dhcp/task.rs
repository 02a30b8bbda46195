//! A DHCP client on one card, for as long as the node runs.

use super::Lease;
use super::client::{Client, Step};
use super::message::{CLIENT_PORT, MESSAGE_BYTES_MAX, SERVER_PORT};
use crate::machine::cards::Card;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::sleep;
use vmatic_sys::calls::random16;

/// How often it is looked whether a cable is there, and whether the socket can be had.
const CARRIER_POLL_INTERVAL: Duration = Duration::from_millis(200);
const AGAIN: Duration = Duration::from_secs(5);

/// What became of a card's address.
#[derive(Debug)]
pub enum Report {
    /// The card has this now, or has it for longer.
    Bound(Lease),
    /// It has none any more: why.
    Lost(String),
    /// For the operator who reads the console.
    Note(String),
}

/// Asks for an address on a card that is up, once it has a carrier, and keeps it; `address` is what the card came with.
pub async fn keep(card: Card, address: Option<Ipv4Addr>, reports: mpsc::Sender<(String, Report)>) {
    while !card.has_carrier() {
        sleep(CARRIER_POLL_INTERVAL).await;
    }
    let start = Instant::now();
    let now_ms = || start.elapsed().as_millis() as u64;
    let [a, b, c, d, e, f, g, h, ..] = random16();
    let mut client = Client::new(card.mac, address, u64::from_le_bytes([a, b, c, d, e, f, g, h]), now_ms());
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    let mut failed = false;
    loop {
        let socket = match open(&card.name) {
            Ok(socket) => socket,
            Err(e) => {
                if !std::mem::replace(&mut failed, true) {
                    let note = Report::Note(format!("cannot ask for an address: {e}"));
                    let _ = reports.send((card.name.clone(), note)).await;
                }
                sleep(AGAIN).await;
                continue;
            }
        };
        loop {
            let wait = Duration::from_millis(client.due_ms().saturating_sub(now_ms()));
            let steps = tokio::select! {
                came = socket.recv_from(&mut buffer) => match came {
                    Ok((count, _)) => client.heard(&buffer[..count], now_ms()),
                    // A card that is set down and up again loses what waited.
                    Err(_) => break,
                },
                () = sleep(wait) => client.advance(now_ms()),
            };
            for step in steps {
                let report = match step {
                    Step::Send(to, bytes) => {
                        // What is not sent now is asked again.
                        let _ = socket.send_to(&bytes, SocketAddr::from((to, SERVER_PORT))).await;
                        continue;
                    }
                    Step::Bound(lease) => Report::Bound(lease),
                    Step::Lost(why) => Report::Lost(why),
                    Step::Note(text) => Report::Note(text),
                };
                if reports.send((card.name.clone(), report)).await.is_err() {
                    return;
                }
            }
        }
        sleep(CARRIER_POLL_INTERVAL).await;
    }
}

/// A socket that hears and sends on this card alone, also while the card has no address: what is for all is heard then.
fn open(card: &str) -> io::Result<UdpSocket> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
    // One for each card.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_broadcast(&socket, true)?;
    rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, CLIENT_PORT))?;
    let socket = UdpSocket::from_std(socket.into())?;
    socket.bind_device(Some(card.as_bytes()))?;
    Ok(socket)
}
