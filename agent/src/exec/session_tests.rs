//! Sessions on this very machine: real terminals and pipes.

use super::*;

/// A session's other end: what was said so far.
struct Operator {
    feeds: mpsc::UnboundedSender<SessionInput>,
    stop: Option<oneshot::Sender<()>>,
    events: mpsc::Receiver<Event>,
    flow: Flow,
    heard: Vec<u8>,
    /// Whether it shows what it hears; one that does not lets the program wait.
    shows: bool,
}

fn open() -> (Ends, Operator) {
    let (feeds, fed) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel();
    let (events, heard) = mpsc::channel(64);
    let op = OpId { session: [0; 8], sequence: 1 };
    let operator =
        Operator { feeds, stop: Some(stop), events: heard, flow: Flow::default(), heard: vec![], shows: true };
    (Ends::new(op, fed, stopped, events), operator)
}

impl Operator {
    fn feed(&mut self, feed: SessionInput) {
        self.flow.feed(&feed).unwrap();
        self.feeds.send(feed).unwrap();
    }

    fn types(&mut self, text: &str, eof: bool) {
        let shown = self.flow.shown_with(0);
        self.feed(SessionInput { bytes: text.as_bytes().to_vec(), eof, shown, ..SessionInput::default() });
    }

    /// Hears until `enough`, or for so long.
    async fn hear(&mut self, limit: Duration, enough: impl Fn(&str) -> bool) -> String {
        let until = tokio::time::Instant::now() + limit;
        while !enough(&String::from_utf8_lossy(&self.heard)) {
            let Ok(Some(event)) = tokio::time::timeout_at(until, self.events.recv()).await else { break };
            let Event::SessionOutput { said, .. } = event else { panic!("{event:?}") };
            self.flow.say(&said).unwrap();
            self.heard.extend(&said.bytes);
            if self.shows {
                let shown = self.flow.shown_with(said.bytes.len());
                let _ = self.feeds.send(SessionInput { shown, ..SessionInput::default() });
                self.flow.feed(&SessionInput { shown, ..SessionInput::default() }).unwrap();
            }
        }
        String::from_utf8_lossy(&self.heard).into_owned()
    }
}

fn console(script: &str, terminal: bool) -> Console {
    let argv = if script.is_empty() { vec![] } else { ["sh", "-c", script].map(String::from).to_vec() };
    let size = Size { rows: 33, columns: 77 };
    Console { argv, env: vec![("TERM".into(), "vt100".into())], terminal: terminal.then_some(size) }
}

fn within<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let limited = async { tokio::time::timeout(2 * LONG, test).await };
    local.block_on(&runtime, limited).expect("the session hangs")
}

/// No test waits so long, unless it fails.
const LONG: Duration = Duration::from_secs(300);

#[test]
fn a_program_has_a_terminal_of_the_operators_size_and_its_status_comes_back() {
    within(async {
        let (ends, mut operator) = open();
        let script = "stty size; echo $TERM; trap 'stty size; exit 7' WINCH; echo ready; while :; do sleep 0.05; done";
        let running = tokio::task::spawn_local(program(console(script, true), ends));
        operator.hear(LONG, |text| text.contains("ready")).await;
        let shown = operator.flow.shown_with(0);
        operator.feed(SessionInput { size: Some(Size { rows: 10, columns: 20 }), shown, ..SessionInput::default() });
        let text = operator.hear(LONG, |text| text.contains("10 20")).await;
        assert_eq!(text, "33 77\r\nvt100\r\nready\r\n10 20\r\n");
        assert_eq!(running.await.unwrap(), Outcome::Exit(7));
    });
}

#[test]
fn all_that_was_written_is_said_before_the_end() {
    for terminal in [true, false] {
        let text = within(async {
            let (ends, mut operator) = open();
            let running = tokio::task::spawn_local(program(console("seq 1 30000", terminal), ends));
            let text = operator.hear(LONG, |text| text.ends_with("30000\r\n") || text.ends_with("30000\n")).await;
            assert_eq!(running.await.unwrap(), Outcome::Exit(0));
            text
        });
        let want: String = (1..=30000).map(|n| format!("{n}\n")).collect();
        assert_eq!(text.replace('\r', ""), want);
    }
}

#[test]
fn input_ends_where_the_operators_does() {
    for (terminal, given) in [(false, "one\ntwo"), (true, "one\n"), (true, "one\ntwo")] {
        within(async {
            let (ends, mut operator) = open();
            let script = "stty -echo 2>/dev/null; echo ready; cat; echo; echo done";
            let running = tokio::task::spawn_local(program(console(script, terminal), ends));
            operator.hear(LONG, |text| text.contains("ready")).await;
            operator.types(given, true);
            let text = operator.hear(LONG, |text| text.contains("done")).await.replace('\r', "");
            assert_eq!(text, format!("ready\n{given}\ndone\n"));
            assert_eq!(running.await.unwrap(), Outcome::Exit(0));
        });
    }
}

#[test]
fn a_flood_stops_at_its_window_and_ctrl_c_gets_through() {
    within(async {
        let (ends, mut operator) = open();
        operator.shows = false;
        let running = tokio::task::spawn_local(program(console("yes", true), ends));
        let window = vmatic_tree::session::OUTPUT_WINDOW_BYTES;
        operator.hear(LONG, |text| text.len() >= window).await;
        operator.hear(Duration::from_millis(300), |_| false).await;
        assert_eq!(operator.heard.len(), window);
        operator.types("\x03", false);
        operator.shows = true;
        let shown = operator.flow.shown_with(operator.heard.len());
        operator.feed(SessionInput { shown, ..SessionInput::default() });
        // Until nobody says anything any more.
        operator.hear(LONG, |_| false).await;
        assert_eq!(running.await.unwrap(), Outcome::Signal(Signal::INT.as_raw()));
    });
}

#[test]
fn when_the_operator_is_gone_nothing_is_left() {
    within(async {
        let (ends, mut operator) = open();
        let running = tokio::task::spawn_local(program(
            console("sleep 77 & (trap '' HUP; sleep 78) & echo $$; wait", true),
            ends,
        ));
        let text = operator.hear(LONG, |text| text.contains('\n')).await;
        let session: i32 = text.trim().parse().unwrap();
        assert!(processes::signal_session(session, 0) >= 3);
        drop(operator.stop.take());
        running.await.unwrap();
        // Those that do not hear the signal are ended a moment later.
        let until = Instant::now() + Duration::from_millis(HANG_UP_GRACE_MS) + LONG;
        while processes::signal_session(session, 0) > 0 {
            assert!(Instant::now() < until, "{} are left", processes::signal_session(session, 0));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn a_program_that_is_not_there_is_said_as_ever() {
    within(async {
        let (ends, _operator) = open();
        let mut order = console("x", true);
        order.argv = vec!["/no/such".into()];
        assert_eq!(program(order, ends).await, Outcome::Failed("no such program or directory".into()));
    });
}
