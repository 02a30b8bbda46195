//! Orders that a host carries out for its guests, each in a process of its own: it may wait for the switch, look at
//! thousands of processes, or boot a template, while the node goes on.
//!
//! Takes an order and guests as one value; the process gives a [`Reply`] on standard output, encoded, or the sentence
//! that says why there is none.

use crate::error::{Context, Error};
use crate::exec::command;
use crate::guest::usage;
use crate::guest::vmm::snapshot;
use crate::process::spawn;
use crate::switch::capture::CapturePoint;
use crate::switch::client::SwitchClient;
use crate::switch::protocol::{Request, Response};
use crate::switch::{SOCKET, settings};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use tokio::sync::oneshot;
use vmatic_plan::{GuestId, HostId, RangeSet};
use vmatic_tree::answer::{OUTPUT_MAX_BYTES, Outcome, Output};
use vmatic_tree::reply::Reply;
use vmatic_tree::traffic::Piece;
use vmatic_tree::wire::order::{CaptureOrder, LinkOrder, Order};

/// The subcommand of a process that carries one out.
pub const ORDER: &str = "order";
/// Most bytes that a reply takes beside the longest piece.
const REPLY_EXTRA_BYTES: usize = 64 * 1024;

/// An order, and for which guests of this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostOrder {
    /// What is to be done.
    pub order: Order,
    /// For these guests; none if it is for the host itself.
    pub guests: RangeSet,
    /// Whether these are all guests of the host.
    pub all: bool,
    /// The host.
    pub host: HostId,
}

/// Whether an order is one that a process of its own carries out.
pub fn is_one(order: &Order) -> bool {
    matches!(order, Order::Link(_) | Order::Port(_) | Order::Capture(_) | Order::Usage { .. } | Order::Save { .. })
}

/// Has a process carry it out, to its end, to its deadline, or until `stop` is dropped or used.
pub async fn carry_out(order: HostOrder, deadline: Duration, stop: oneshot::Receiver<()>) -> (Outcome, Output) {
    let failed = |why: String| (Outcome::Failed(why), Output::default());
    let command = match spawn::configured(ORDER, "for the operator", &order, &[], None) {
        Ok(command) => spawn::watched(command),
        Err(e) => return failed(e.to_string()),
    };
    let max = OUTPUT_MAX_BYTES as usize + REPLY_EXTRA_BYTES;
    let (outcome, output) = command::run_to_end(command, Vec::new(), max, deadline, stop).await;
    match outcome {
        Outcome::Exit(0) => match postcard::from_bytes::<Result<Reply, String>>(&output.stdout) {
            Ok(Ok(reply)) => (Outcome::Done(reply), Output::default()),
            Ok(Err(why)) => failed(why),
            Err(e) => failed(format!("cannot understand the answer of its process: {e}")),
        },
        Outcome::Exit(status) => failed(format!("its process ended with exit status {status}")),
        other => (other, Output::default()),
    }
}

/// The process: carries the order out and prints the reply, or why there is none.
pub fn run(order: &HostOrder) -> Result<(), Error> {
    spawn::end_as_others();
    let reply = reply(order).map_err(|e| e.to_string());
    let reply = postcard::to_allocvec(&reply).context("encode the reply")?;
    std::io::stdout().write_all(&reply).context("write the reply")
}

fn reply(HostOrder { order, guests, all, host }: &HostOrder) -> Result<Reply, Error> {
    let client = || SwitchClient::open(Path::new(SOCKET));
    match order {
        Order::Link(LinkOrder::Set(link)) => {
            let mut client = client()?;
            client.ask(&Request::SetLink(guests.clone(), *link))?;
            settings::remember(guests, *all, *link)?;
            Ok(Reply::Link(*link))
        }
        Order::Link(LinkOrder::Show) => client()?.ports(guests).map(Reply::Ports),
        Order::Capture(CaptureOrder { id, gather_ms, bytes_max }) => {
            let point = guests.iter().next().map_or(CapturePoint::Uplink, |guest| CapturePoint::Guest(GuestId(guest)));
            let time = Duration::from_millis(u64::from(*gather_ms));
            let bytes_max = (*bytes_max).min(OUTPUT_MAX_BYTES) as usize;
            let mut all = Piece::default();
            client()?.capture(*id, point, (Some(time), Some(bytes_max)), |piece| {
                all.bytes.extend_from_slice(&piece.bytes);
                all.dropped = piece.dropped;
                Ok(())
            })?;
            Ok(Reply::Piece(all))
        }
        Order::Port(order) => {
            let Response::NetworkPorts(ports) = client()?.ask(&Request::Port(*order))? else {
                return Err(Error::new("ask the switch for a link of the network"));
            };
            settings::remember_port(order)?;
            Ok(Reply::NetworkPorts(ports))
        }
        Order::Usage { each } => usage::measure(*each).map(Reply::Usage),
        Order::Save { from } => Ok(Reply::Piece(Piece { bytes: snapshot::piece(*host, *from)?, dropped: 0 })),
        other => Err(Error::new(format!("carry out {other:?} in a process of its own"))),
    }
}
