//! Names of nodes for the programs of this host: DNS on its loopback address, answered by the plan.
//!
//! Whoever wrote a resolv.conf into the image has chosen other servers: they are left alone, and asked for what is no
//! node's if this address is among them.

use crate::dns::{self, Others};
use crate::log::log;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::Ipv4Addr;
use tokio::net::UdpSocket;
use vmatic_plan::Plan;

/// Where programs look for who knows names.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Longest question that is read; what is longer is none of DNS without EDNS.
const QUESTION_BYTES: usize = 1024;

/// Answers until the node ends. A host whose port is taken goes without.
pub async fn serve(plan: Plan) {
    let others = if make_resolv_conf() { Others::None } else { Others::MayKnow };
    let socket = match UdpSocket::bind((Ipv4Addr::LOCALHOST, dns::PORT)).await {
        Ok(socket) => socket,
        Err(e) => return log(&format!("names of nodes are not answered on this host: {e}")),
    };
    let mut question = [0; QUESTION_BYTES];
    loop {
        // What fails is of one who asked, and has gone (ECONNREFUSED).
        let Ok((bytes, from)) = socket.recv_from(&mut question).await else { continue };
        if let Some(answer) = dns::answer(&question[..bytes], &plan, others) {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

/// Has programs ask this host, unless the image says whom to ask; whether nobody else is asked.
fn make_resolv_conf() -> bool {
    let text = format!("nameserver {}\n", Ipv4Addr::LOCALHOST);
    match OpenOptions::new().write(true).create_new(true).open(RESOLV_CONF) {
        Ok(mut file) => file.write_all(text.as_bytes()).is_ok(),
        // A node before this one wrote it.
        Err(_) => std::fs::read_to_string(RESOLV_CONF).is_ok_and(|there| there == text),
    }
}
