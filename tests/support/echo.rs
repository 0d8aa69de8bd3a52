//! A node on a cluster whose handler puts out one record for each transaction, and counts it in the
//! ledger: what exactly once means can be seen from outside. In this process, or as a child that can
//! be killed.

#![allow(dead_code)] // Each test uses its own part of this.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use corelane::client::{Client, ClientOptions};
use corelane::config::Config;
use corelane::control::{Node, NodeOptions};
use corelane::engine::handler::{BatchContext, HandlerContext, ProcessError, TransactionHandler};
use corelane::engine::ledger::Ledger;
use corelane::ids::{ShardId, TopicId};
use corelane::storage::{Outputs, OutputsRefused};
use corelane::telemetry::Counter;
use corelane::transaction::TransactionRef;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tracing_subscriber::EnvFilter;

use super::kafka::KafkaCluster;

/// The topic that the handler writes to.
pub const OUTPUTS: &str = "outputs";

/// How long a node may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the child finds its configuration.
const CONFIG_FILE: &str = "CORELANE_ECHO_CONFIG";

/// Begins the child's line with the number of transactions of Kafka that were aborted.
const ABORTED: &str = "aborted transactions: ";

/// One record to [`OUTPUTS`] for each transaction, under its id; counts like the shipped ledger.
pub struct Echo {
    outputs: TopicId,
    ledger: Ledger,
}

impl Echo {
    /// As a node's handlers are made.
    pub fn new(context: &HandlerContext<'_>) -> Echo {
        Echo {
            outputs: context.topic(OUTPUTS).expect("configured"),
            ledger: Ledger::new(context),
        }
    }
}

impl TransactionHandler for Echo {
    fn begin(&mut self, batch: BatchContext) {
        self.ledger.begin(batch);
    }

    fn process(
        &mut self,
        transaction: &TransactionRef<'_>,
        out: &mut Outputs,
    ) -> Result<(), ProcessError> {
        let amount = transaction.amount.unwrap_or_default().to_string();
        out.send(self.outputs, transaction.id, amount.as_bytes())?;
        self.ledger.process(transaction, out)
    }

    fn commit(&mut self, out: &mut Outputs) -> Result<(), OutputsRefused> {
        self.ledger.commit(out)
    }
}

/// A node's configuration: two shards of two partitions each on one cluster, exactly once.
pub struct EchoSetup {
    folder: TempDir,
    text: String,
}

impl EchoSetup {
    /// `more` are further lines of the cluster's section.
    pub fn new(cluster: &KafkaCluster, more: &str) -> EchoSetup {
        // For whoever looks for the cause of a failure; set more than once it stays as it is.
        if let Ok(filter) = EnvFilter::try_from_env("CORELANE_LOG") {
            let _ = tracing_subscriber::fmt().with_env_filter(filter).try_init();
        }
        let folder = TempDir::new().expect("a folder for socket and configuration");
        let brokers: Vec<&str> = cluster.brokers().split(',').collect();
        let socket = folder.path().join("gateway");
        let text = format!(
            "[node]\ncores = 2\noversubscribe = true\n\
             [gateway]\ntcp = []\nunix = [{socket:?}]\n\
             [control]\nhttp = \"\"\n\
             [clusters.main]\nbrokers = {brokers:?}\n{more}\n\
             [[shards]]\nid = 1\nname = \"east\"\nlatitude = 35.0\nlongitude = 140.0\n\
             cluster = \"main\"\npartitions = 2\nreplication = 3\n\
             [[shards]]\nid = 2\nname = \"west\"\nlatitude = 40.0\nlongitude = -74.0\n\
             cluster = \"main\"\npartitions = 2\nreplication = 3\n\
             [[topics]]\nname = \"{OUTPUTS}\"\npartitions = 3\nreplication = 3\n"
        );
        EchoSetup { folder, text }
    }

    /// The shards' topics.
    pub fn shards() -> BTreeMap<ShardId, &'static str> {
        BTreeMap::from([
            (ShardId(1), "transactions-east"),
            (ShardId(2), "transactions-west"),
        ])
    }

    /// Every topic with its partitions, those of state and dead letters included.
    pub fn topics() -> Vec<(String, i32)> {
        let shards = EchoSetup::shards().into_values();
        let of_shards = shards
            .flat_map(|topic| ["", ".state", ".dlq"].map(|suffix| (format!("{topic}{suffix}"), 2)));
        of_shards.chain([(OUTPUTS.to_owned(), 3)]).collect()
    }

    /// Where clients connect.
    pub fn address(&self) -> String {
        format!("unix:{}", self.folder.path().join("gateway").display())
    }

    /// Starts a node in this process.
    pub fn start(&self) -> Node {
        let config = Config::parse(&self.text, "echo.toml").expect("valid");
        Node::start(&config, NodeOptions::default(), Echo::new).expect("the node starts")
    }

    /// Starts a node of so many cores in a process of its own, and waits until it answers.
    pub fn start_child(&self, cores: u64) -> EchoChild {
        let file = self.folder.path().join("node.toml");
        let text = self.text.replace("cores = 2", &format!("cores = {cores}"));
        std::fs::write(&file, text).expect("the configuration is written");
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            // Runs [`serve_if_asked`].
            .args(["--exact", "node_of_another_test", "--nocapture"])
            .env(CONFIG_FILE, &file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test can be run");
        let stdin = child.stdin.take();
        let mut child = EchoChild { child, stdin };
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = Client::connect(&self.address(), ClientOptions::default()) {
            let status = child.child.try_wait().expect("the child can be asked");
            assert_eq!(status, None, "the node ended at its start");
            assert!(
                Instant::now() < deadline,
                "the node does not answer: {error}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        child
    }
}

/// A node in a process of its own.
pub struct EchoChild {
    child: Child,
    /// Where it ends the child stops, so that none outlives a test that is killed.
    stdin: Option<ChildStdin>,
}

impl EchoChild {
    /// Ends the process at once.
    pub fn kill9(&mut self) {
        self.child.kill().expect("the child can be killed");
        self.child.wait().expect("the child can be waited for");
    }

    /// Holds the process as it is for so long, as a machine may that is moved.
    pub fn hold(&self, time: Duration) {
        self.signal(Signal::STOP);
        std::thread::sleep(time);
        self.signal(Signal::CONT);
    }

    /// Lets the node finish what it has taken in, and stop. Returns how many transactions of Kafka
    /// it saw aborted.
    pub fn stop(&mut self) -> u64 {
        drop(self.stdin.take());
        let mut text = String::new();
        let mut stdout = self.child.stdout.take().expect("it has one");
        stdout.read_to_string(&mut text).expect("text");
        let status = self.child.wait().expect("the child can be waited for");
        assert!(status.success(), "{status}\n{text}");
        let aborted = text.lines().find_map(|line| line.strip_prefix(ABORTED));
        aborted.expect("said at its end").parse().expect("a number")
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the child can be signalled");
    }
}

impl Drop for EchoChild {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In the process of an [`EchoChild`]: the node, until standard input ends. Elsewhere nothing.
pub fn serve_if_asked() {
    let Some(file) = std::env::var_os(CONFIG_FILE) else {
        return;
    };
    let config = Config::load(&PathBuf::from(file)).expect("written by the parent");
    let node = Node::start(&config, NodeOptions::default(), Echo::new).expect("the node starts");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            is_over.store(true, Ordering::Release);
        });
        while !is_over.load(Ordering::Acquire) {
            if let Some(failure) = node.failure() {
                eprintln!("the node failed: {failure}");
                std::process::exit(3);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let drained = node.drain(PATIENCE);
    let aborted = node.counters().get(Counter::TransactionsAborted);
    let stopped = node.stop();
    drained.expect("the node drains");
    stopped.expect("the node stops");
    println!("\n{ABORTED}{aborted}");
    std::process::exit(0);
}
