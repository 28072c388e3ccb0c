//! What targets leave behind, and clients see, beyond states and processes.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use treeward::supervision::status::{HealthWord, StateWord};

use crate::house::{House, PATIENCE};
use crate::scenes::{Act, Scene, Target};

/// How much earlier a timer may be due than a second after the run before, in seconds: the script
/// takes the time a while after it was started.
const EARLY: f64 = 0.3;

/// A client that connects again and again to a socket that is there.
pub struct Client {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<(u32, Option<String>)>>,
}

impl Client {
    pub fn new(path: PathBuf) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let socket = UnixDatagram::unbound().expect("a socket");
            let mut connects = 0;
            while !until.load(Ordering::Relaxed) {
                if let Err(error) = socket.connect(&path) {
                    return (connects, Some(error.to_string()));
                }
                connects += 1;
                std::thread::sleep(Duration::from_micros(200));
            }
            (connects, None)
        });
        Self { over, thread: Some(thread) }
    }

    /// Asserts that nobody was refused.
    pub fn assert_served(mut self, place: &str) {
        self.over.store(true, Ordering::Relaxed);
        let (connects, refused) = self.thread.take().expect("once").join().expect("the client");
        assert!(connects > 0 && refused.is_none(), "{place}: after {connects}: {refused:?}");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Forgets what was left before the scene, and begins to look where somebody must look on.
pub fn begin(house: &House, scene: &Scene) -> Option<Client> {
    let _ = fs::remove_file(house.path("order"));
    (scene.target == Target::Listening).then(|| Client::new(house.path("web.sock")))
}

/// Asserts what must hold when the next supervisor has settled.
pub fn judge(house: &House, scene: &Scene, state: StateWord, place: &str) {
    match scene.target {
        Target::Hooked => judge_hooks(house, scene, state, place),
        Target::Commanded | Target::Undone => judge_commands(house, scene, state, place),
        Target::Timed => judge_runs(house, place),
        Target::Checked => {
            // The supervisor may have been killed before it saw the illness; the next one sees it.
            house.wait_for("target", place, PATIENCE, |status| {
                let is_well = status.summary.health == Some(HealthWord::Healthy);
                status.summary.state == StateWord::Up && is_well && house.path("well").exists()
            });
        }
        Target::Family | Target::Stubborn | Target::Listening | Target::Instance => {}
    }
}

/// Every hook has run, in its order, and never beside itself; the service once. A hook may have run
/// again behind itself.
fn judge_hooks(house: &House, scene: &Scene, state: StateWord, place: &str) {
    assert_eq!(house.read("twice"), "", "{place}: a hook ran beside itself");
    let text = house.read("order");
    let mut order: Vec<&str> = text.lines().collect();
    let mut whole: Vec<&str> = match state {
        StateWord::Down => Vec::new(),
        _ => vec!["start_pre", "service", "start_post"],
    };
    if matches!(scene.act, Act::Order("Restart")) && order.first() == Some(&"stop_post") {
        whole.insert(0, "stop_post");
    } else if matches!(scene.act, Act::Order("Restart")) {
        // It was killed before the order counted.
        whole.clear();
    }
    let services = order.iter().filter(|word| **word == "service").count();
    order.dedup();
    assert_eq!(order, whole, "{place}: {text}");
    assert!(services <= 1, "{place}: {text}");
}

/// A service that was ended was so by its stop command, which ran once; one that was not, not at all.
fn judge_commands(house: &House, scene: &Scene, state: StateWord, place: &str) {
    let text = house.read("order");
    let order: Vec<&str> = text.lines().collect();
    let whole: &[&str] = match (&scene.act, state) {
        (_, StateWord::Down) => &["stop_command"],
        // It was killed before the order counted.
        (Act::Order("Stop") | Act::Ask("Stop"), _) => &[],
        _ if order.is_empty() => &[],
        _ => &["stop_command", "service"],
    };
    assert_eq!(order, whole, "{place}: {}", house.read("launcher.log"));
}

/// No run was made twice, and each a second after the one before.
fn judge_runs(house: &House, place: &str) {
    let runs: Vec<f64> = house.read("runs").lines().map(|at| at.parse().expect("a time")).collect();
    let early = runs.windows(2).find(|two| two[1] - two[0] < 1.0 - EARLY);
    assert_eq!(early, None, "{place}: {}", house.read("launcher.log"));
}
