//! Programs of this machine whose outputs are sent while they run.

use super::*;
use vmatic_plan::HostId;
use vmatic_tree::stream::Gathering;

/// No test waits so long, unless it fails.
const LONG: Duration = Duration::from_secs(60);
const OP: OpId = OpId { session: [1; 8], sequence: 1 };

fn pen() -> (Pen, mpsc::Receiver<Event>) {
    let (events, heard) = mpsc::channel(1024);
    let room = Arc::new(Semaphore::new(PIECES_MAX));
    (Pen { op: OP, node: Node::host(HostId(3)), events, room }, heard)
}

fn script(text: &str) -> Run {
    let argv = ["sh", "-c", text].map(String::from).to_vec();
    Run { argv, env: vec![], dir: "/".into(), stdin: b"in\n".to_vec(), output_max_bytes: 0 }
}

fn within<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(LONG, test).await }).expect("it hangs")
}

/// Hears all that comes, giving room back at once; both outputs, and whether they are whole.
async fn hear(pen: &Pen, heard: &mut mpsc::Receiver<Event>) -> ([Vec<u8>; 2], bool) {
    let (mut gathering, mut outputs) = (Gathering::default(), [Vec::new(), Vec::new()]);
    while gathering.is_incomplete() {
        let Some(Event::Written { op: OP, written }) = heard.recv().await else { break };
        outputs[written.stream as usize].extend_from_slice(gathering.take(&written));
        pen.room.add_permits(usize::from(!written.end));
    }
    (outputs, !gathering.is_incomplete())
}

#[test]
fn all_that_is_written_is_sent_before_the_end() {
    within(async {
        let (pen, mut heard) = pen();
        let (_stop, stopped) = oneshot::channel();
        let running = tokio::spawn(run(script("cat; seq 200000; echo oops >&2; exit 3"), LONG, stopped, pen.clone()));
        let (outputs, is_whole) = hear(&pen, &mut heard).await;
        let want: String = "in\n".to_owned() + &(1..=200_000).map(|n| format!("{n}\n")).collect::<String>();
        assert!(is_whole && outputs[0] == want.as_bytes() && outputs[1] == b"oops\n");
        let (outcome, output) = running.await.unwrap();
        assert_eq!((outcome, output.truncated, output.stdout.len()), (Outcome::Exit(3), true, 0));
    });
}

#[test]
fn it_is_sent_while_the_program_runs() {
    within(async {
        let (pen, mut heard) = pen();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(run(script("echo now; exec sleep 1000"), LONG, stopped, pen.clone()));
        let Some(Event::Written { written, .. }) = heard.recv().await else { panic!("nothing") };
        assert_eq!((&written.bytes[..], written.at, written.end), (&b"now\n"[..], 0, false));
        drop(stop);
        assert_eq!(running.await.unwrap().0, Outcome::Signal(9));
    });
}

#[test]
fn a_flood_stops_where_nobody_reads() {
    within(async {
        let (pen, mut heard) = pen();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(run(script("yes"), LONG, stopped, pen.clone()));
        for _ in 0..PIECES_MAX {
            assert!(heard.recv().await.is_some());
        }
        let more = tokio::time::timeout(Duration::from_millis(300), heard.recv()).await;
        assert!(more.is_err(), "{more:?}");
        pen.room.add_permits(1);
        assert!(heard.recv().await.is_some(), "it goes on when there is room");
        drop(stop);
        assert_eq!(running.await.unwrap().0, Outcome::Signal(9));
    });
}

#[test]
fn a_daemon_left_behind_holds_nothing_and_silence_is_no_output() {
    within(async {
        let (pen, _heard) = pen();
        let (_stop, stopped) = oneshot::channel();
        let (outcome, output) = run(script("sleep 70 & exit 0"), LONG, stopped, pen).await;
        assert_eq!((outcome, output), (Outcome::Exit(0), Output::default()));
        let (pen, _heard) = super::tests::pen();
        let (_stop, stopped) = oneshot::channel();
        let argv = vec!["/no/such".to_owned()];
        let failed = run(Run { argv, ..script("") }, LONG, stopped, pen).await.0;
        assert_eq!(failed, Outcome::Failed("no such program or directory".into()));
    });
}
