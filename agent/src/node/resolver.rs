//! Names of nodes for the programs of this host: DNS on its loopback address, answered by the plan.
//!
//! Whoever wrote a resolv.conf into the image has chosen other servers: they are left alone, and asked for what is no
//! node's if this address is among them.

use crate::dns::{self, Others};
use crate::log::log;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::sleep;
use vmatic_plan::Plan;

/// Where programs look for who knows names.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Longest question that is read; what is longer is none of DNS without EDNS.
const QUESTION_BYTES: usize = 1024;

/// How long until it is tried again to answer.
const BIND_AGAIN: Duration = Duration::from_secs(10);

/// Answers until the node ends. Where an image has programs ask other servers, and not this host, it stays out of their
/// way: one of them may be to answer at this very port.
pub async fn serve(plan: Plan) {
    let Some(others) = wanted() else { return };
    let socket = loop {
        match UdpSocket::bind((Ipv4Addr::LOCALHOST, dns::PORT)).await {
            Ok(socket) => break socket,
            Err(e) => log(&format!("names of nodes are not answered on this host: {e}")),
        }
        sleep(BIND_AGAIN).await;
    };
    make_resolv_conf();
    let mut question = [0; QUESTION_BYTES];
    loop {
        // What fails is of one who asked, and has gone (ECONNREFUSED).
        let Ok((bytes, from)) = socket.recv_from(&mut question).await else { continue };
        if let Some(answer) = dns::answer(&question[..bytes], &plan, others) {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

/// Whom else programs ask, if they ask this host; where nobody has said whom to ask, it is to be this host alone.
fn wanted() -> Option<Others> {
    let Ok(text) = fs::read_to_string(RESOLV_CONF) else { return Some(Others::None) };
    let servers = text.lines().filter_map(|line| line.strip_prefix("nameserver")).map(str::trim);
    let (ours, others): (Vec<&str>, Vec<&str>) = servers.partition(|server| *server == "127.0.0.1");
    (!ours.is_empty()).then_some(if others.is_empty() { Others::None } else { Others::MayKnow })
}

/// Has programs ask this host, unless the image says whom to ask.
fn make_resolv_conf() {
    let text = format!("nameserver {}\n", Ipv4Addr::LOCALHOST);
    let made = OpenOptions::new().write(true).create_new(true).open(RESOLV_CONF);
    if let Err(e) = made.and_then(|mut file| file.write_all(text.as_bytes()))
        && e.kind() != ErrorKind::AlreadyExists
    {
        log(&format!("cannot write {RESOLV_CONF}: {e}"));
    }
}
