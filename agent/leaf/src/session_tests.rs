//! Sessions on this very machine, waited for as the guest's agent waits.

use super::*;
use std::string::String as Text;

const OP: OpId = OpId { session: [0; 8], sequence: 1 };

/// A session and its operator: what was heard, and how it ended.
struct Open {
    session: Session,
    theirs: Flow,
    heard: Vec<u8>,
    shows: bool,
}

impl Open {
    fn start(argv: &[&str], terminal: bool) -> Open {
        let size = Size { rows: 33, columns: 77 };
        let argv = argv.iter().map(ToString::to_string).collect();
        let console = Console { argv, env: Vec::new(), terminal: terminal.then_some(size) };
        let session = Session::start(OP, &console).unwrap();
        Open { session, theirs: Flow::default(), heard: Vec::new(), shows: true }
    }

    fn feed(&mut self, feed: SessionInput) {
        let feed = SessionInput {
            shown: self.theirs.shown_with(self.theirs.unseen() as usize * usize::from(self.shows)),
            ..feed
        };
        self.theirs.feed(&feed).unwrap();
        assert!(self.session.feed(&feed).is_some());
    }

    fn types(&mut self, text: &str, eof: bool) {
        self.feed(fed(text.as_bytes(), eof));
    }

    /// Turns until `enough` is heard or it ends; its outcome.
    fn turn_until(&mut self, enough: impl Fn(&str) -> bool) -> Option<Outcome> {
        let end_ms = calls::now_ms() + 20_000;
        while !enough(&self.screen()) {
            assert!(calls::now_ms() < end_ms, "not in 20 s: {}", self.screen());
            let entry = |(fd, events)| libc::pollfd { fd, events, revents: 0 };
            let mut fds: Vec<_> = self.session.polled().map(entry).collect();
            calls::poll(&mut fds, 20);
            if let Some(status) = processes::reap_one(self.session.program.pid) {
                self.session.program_ended(status, calls::now_ms());
            }
            if let Some(said) = self.session.advance(calls::now_ms()) {
                self.theirs.say(&said).unwrap();
                self.heard.extend(&said.bytes);
                if self.shows && self.theirs.unseen() > 8192 {
                    self.feed(SessionInput::default());
                }
            }
            if let Some(outcome) = self.session.outcome(calls::now_ms()) {
                return Some(outcome);
            }
        }
        None
    }

    fn screen(&self) -> Text {
        Text::from_utf8_lossy(&self.heard).into_owned()
    }
}

#[test]
fn a_flood_is_held_and_ctrl_c_ends_it() {
    let mut open = Open::start(&["sh", "-c", "stty size; trap 'echo caught; exit 3' INT; while :; do yes; done"], true);
    open.shows = false;
    open.turn_until(|screen| screen.len() == vmatic_tree::session::OUTPUT_WINDOW_BYTES);
    assert!(open.screen().starts_with("33 77\r\ny\r\n"), "{}", &open.screen()[..20]);
    open.shows = true;
    open.types("\x03", false);
    assert_eq!(open.turn_until(|_| false), Some(Outcome::Exit(3)));
    assert!(open.screen().ends_with("caught\r\n"));
}

#[test]
fn a_shell_goes_on_after_ctrl_c() {
    let mut open = Open::start(&["sh", "-i"], true);
    open.types("stty -echo; yes\r", false);
    open.turn_until(|screen| screen.contains("y\r\ny\r\n") && screen.len() > 100_000);
    open.types("\x03echo ba''ck\r", false);
    open.turn_until(|screen| screen.contains("back"));
    open.types("exit 9\r", false);
    assert_eq!(open.turn_until(|_| false), Some(Outcome::Exit(9)));
}

#[test]
fn pipes_carry_all_bytes_and_their_end() {
    let mut open = Open::start(&["cat"], false);
    let bytes: Vec<u8> = (0..=255u8).cycle().take(12_000).collect();
    for part in bytes.chunks(4000) {
        open.feed(fed(part, false));
    }
    open.feed(fed(b"", true));
    assert_eq!(open.turn_until(|_| false), Some(Outcome::Exit(0)));
    assert_eq!(open.heard, bytes);
}

#[test]
fn what_a_program_leaves_is_hung_up_and_what_ignores_that_is_ended() {
    let mut open = Open::start(&["sh", "-c", "(trap '' HUP; sleep 55) & sleep 56 & echo started; exit 2"], true);
    let session = open.session.program.pid;
    assert_eq!(open.turn_until(|_| false), Some(Outcome::Exit(2)));
    assert!(open.screen().contains("started"));
    calls::sleep_ms(200);
    assert_eq!(processes::signal_session(session, 0), 0);
}

fn fed(bytes: &[u8], eof: bool) -> SessionInput {
    SessionInput { bytes: bytes.to_vec(), eof, ..SessionInput::default() }
}
