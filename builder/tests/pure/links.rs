//! A console's link to a host: to one of before links were encrypted it speaks only to upgrade it, and to what is no
//! host not at all.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use vmatic::client::connection::{Connection, Older};
use vmatic_plan::{HostId, HostNames, Plan};
use vmatic_tree::link::is_call;
use vmatic_tree::wire::frame::{FrameReader, encode};
use vmatic_tree::wire::message::{Message, PeerRole};

/// Whoever answers there does this with each call, one after the other.
fn answer<const CALLS: usize>(calls: [fn(TcpStream); CALLS]) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answers = move || calls.into_iter().for_each(|answer| answer(listener.accept().unwrap().0));
    (address, std::thread::spawn(answers))
}

/// As an agent that takes a call for a frame that claims too much.
fn hang_up(mut stream: TcpStream) {
    let mut first = [0; 8];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(is_call(&first), Some(true));
}

/// As one of before links were encrypted.
fn welcome(mut stream: TcpStream) {
    let (mut reader, mut buffer) = (FrameReader::of_stranger(), [0; 256]);
    let hello = loop {
        if let Some(message) = reader.next_message().unwrap() {
            break message;
        }
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "the console hung up");
        reader.push(&buffer[..count]);
    };
    assert!(matches!(hello, Message::Hello { who: PeerRole::Console, .. }), "{hello:?}");
    let plan = Plan::new("older", HostNames::count(1).unwrap()).encode();
    stream.write_all(&encode(&Message::Welcome { host: HostId(1), plan, path: Vec::new() }).unwrap()).unwrap();
}

#[test]
fn an_older_host_is_spoken_to_plain_to_upgrade_it_and_never_else() {
    let (address, answers) = answer([hang_up]);
    let error = Connection::attach(address, Older::Refused).unwrap_err().to_string();
    assert!(error.contains("its agent is older than encrypted links") && error.contains("vmatic upgrade"), "{error}");
    answers.join().unwrap();

    let (address, answers) = answer([hang_up, welcome]);
    let (_, welcome) = Connection::attach(address, Older::Spoken).unwrap();
    assert_eq!((welcome.host, welcome.plan.name.as_str(), welcome.proof), (HostId(1), "older", None));
    answers.join().unwrap();
}

#[test]
fn what_is_no_host_is_said_to_be_none() {
    let (address, answers) = answer([|mut stream| {
        // More than an answer to a call has.
        let page = format!("HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\n{:100}", "");
        let _ = stream.write_all(page.as_bytes());
        let _ = stream.read(&mut [0; 256]);
    }]);
    let error = Connection::attach(address, Older::Spoken).unwrap_err().to_string();
    assert!(error.contains("the handshake fails") && error.contains("help: "), "{error}");
    answers.join().unwrap();
}
