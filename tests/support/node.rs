//! The real binary as a child process: started, waited for, killed, started again.
//!
//! A node's files are removed with it; where a test fails, its standard error is in the panic.

#![allow(dead_code)] // Each test uses its own part of this.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use corelane::client::{Client, ClientError, ClientOptions};
use rustix::fs::FallocateFlags;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tempfile::TempDir;

/// How long a node may take to answer its first hello, recovery included, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a node is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Cores to run on; more than the machine has are allowed.
    pub cores: u16,
    /// The configuration file's text. The data directory and the socket are given as arguments.
    pub config: String,
    pub launch: Launch,
}

/// How the process begins.
#[derive(Clone, Copy, Debug)]
pub enum Launch {
    /// As it is.
    Plain,
    /// Its data directory lies on a file system of so many mebibytes, which only this process sees and
    /// which ends with it. Needs [`can_mount`].
    SmallDisk(u32),
    /// A write beyond the bound of [`Node::bound_files`] fails, where it would end the process else.
    FailingWrites,
}

/// Whether this user may mount a file system that others do not see.
pub fn can_mount() -> bool {
    let place = TempDir::new().expect("a folder to mount on");
    let mounted = Command::new("unshare")
        .args(["--mount", "mount", "-t", "tmpfs", "tmpfs"])
        .arg(place.path())
        .stderr(Stdio::null())
        .status();
    mounted.is_ok_and(|status| status.success())
}

impl Setup {
    /// Two stripes in small segments, the eight shards of the default configuration.
    pub fn with_cores(cores: u16) -> Setup {
        let config = "[log]\nstripes = 2\nsegment_bytes = 16777216\ntail_bytes = 16777216\n";
        Setup {
            cores,
            config: config.to_owned(),
            launch: Launch::Plain,
        }
    }
}

/// A node and the folder of its files.
pub struct Node {
    setup: Setup,
    /// On the disk of the build, since temporary folders are often in memory, which has no direct
    /// I/O.
    files: TempDir,
    /// Apart, since the path of a socket has 107 bytes at the most.
    sockets: TempDir,
    child: Option<Child>,
}

impl Node {
    /// Starts a node and waits until it answers.
    pub fn start(setup: Setup) -> Node {
        let files = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the log");
        let sockets = TempDir::new().expect("a folder for the socket");
        let config = files.path().join("node.toml");
        let mut text = setup.config.clone();
        // The usual port may be another node's.
        if !text.contains("[broker]") {
            text.push_str("[broker]\nlisten = []\n");
        }
        if !text.contains("[control]") {
            text.push_str("[control]\nhttp = \"\"\n");
        }
        std::fs::write(&config, text).expect("the configuration is written");
        let mut node = Node {
            setup,
            files,
            sockets,
            child: None,
        };
        node.restart();
        node
    }

    /// Takes another number of cores from the next start on.
    pub fn set_cores(&mut self, cores: u16) {
        self.setup.cores = cores;
    }

    /// Starts the node again in its data directory and waits until it answers.
    pub fn restart(&mut self) {
        self.spawn();
        self.wait_until_it_answers();
    }

    /// Starts the process and does not wait.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "the node runs already");
        let mut command = self.command();
        command
            .arg("serve")
            .args(["--config".as_ref(), self.path("node.toml").as_os_str()])
            .args(["--data-dir".as_ref(), self.data_dir().as_os_str()])
            .args(["--unix".as_ref(), self.socket().as_os_str()])
            .args(["--cores", &self.setup.cores.to_string()])
            .arg("--oversubscribe")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.stderr_file());
        self.child = Some(command.spawn().expect("the binary was built"));
    }

    /// The program, without arguments. What comes before it replaces itself by it, so that the child is
    /// the node.
    fn command(&self) -> Command {
        const MOUNT: &str = "mount -t tmpfs -o size=$1m tmpfs \"$2\" && shift 2 && exec \"$@\"";
        const IGNORE: &str = "trap '' XFSZ && exec \"$@\"";
        let program = env!("CARGO_BIN_EXE_corelane");
        match self.setup.launch {
            Launch::Plain => Command::new(program),
            Launch::SmallDisk(mebibytes) => {
                let disk = self.path("disk");
                std::fs::create_dir_all(&disk).expect("a folder to mount on");
                let mut command = Command::new("unshare");
                command
                    .args(["--mount", "sh", "-c", MOUNT, "sh"])
                    .arg(mebibytes.to_string())
                    .args([disk.as_os_str(), program.as_ref()]);
                command
            }
            Launch::FailingWrites => {
                let mut command = Command::new("sh");
                command.args(["-c", IGNORE, "sh", program]);
                command
            }
        }
    }

    /// From now on the process's writes beyond so many bytes of a file fail (EFBIG).
    pub fn bound_files(&self, bytes: u64) {
        let child = self.child.as_ref().expect("the node runs");
        let limit = Rlimit {
            current: Some(bytes),
            maximum: None,
        };
        prlimit(Some(Pid::from_child(child)), Resource::Fsize, limit)
            .expect("the child's limits can be set");
    }

    /// The small disk, as the process sees it.
    pub fn inside(&self) -> PathBuf {
        let disk = self.path("disk");
        let disk = disk.strip_prefix("/").expect("an absolute path");
        self.proc("root").join(disk)
    }

    /// Fills the small disk but for so many bytes.
    pub fn leave_room(&self, bytes: u64) {
        let disk = rustix::fs::statvfs(self.inside()).expect("the disk is there");
        let filler = (disk.f_bavail * disk.f_frsize).saturating_sub(bytes);
        let file = File::create(self.inside().join("filler")).expect("there is room for a name");
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, filler).expect("there is room");
    }

    /// Takes away what [`Node::leave_room`] has put there.
    pub fn make_room(&self) {
        std::fs::remove_file(self.inside().join("filler")).expect("the filler is there");
    }

    /// Waits until a hello is answered.
    pub fn wait_until_it_answers(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let child = self.child.as_mut().expect("the node was started");
            if let Some(status) = child.try_wait().expect("the child can be asked") {
                panic!(
                    "the node ended with {status} at its start:\n{}",
                    self.stderr()
                );
            }
            match self.connect(ClientOptions::default()) {
                Ok(_) => return,
                Err(error) if Instant::now() > deadline => {
                    panic!("the node does not answer: {error}\n{}", self.stderr());
                }
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    /// Connects to the node.
    pub fn connect(&self, options: ClientOptions) -> Result<Client, ClientError> {
        Client::connect(&self.address(), options)
    }

    /// Ends the process at once. What the kernel was given survives, unlike at power loss.
    pub fn kill9(&mut self) {
        let mut child = self.child.take().expect("the node runs");
        child.kill().expect("the child can be killed");
        child.wait().expect("the child can be waited for");
    }

    /// Asks the process to stop, waits until it has, and says how it ended.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the node runs").id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the node runs");
        kill_process(Pid::from_child(child), signal).expect("the child can be signalled");
    }

    /// Waits until the process has ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        let mut child = self.child.take().expect("the node runs");
        loop {
            if let Some(status) = child.try_wait().expect("the child can be asked") {
                return status;
            }
            if Instant::now() > deadline {
                child.kill().expect("the child can be killed");
                child.wait().expect("the child can be waited for");
                panic!("the node does not stop:\n{}", self.stderr());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether the process is still there.
    pub fn is_up(&mut self) -> bool {
        let child = self.child.as_mut().expect("the node was started");
        child.try_wait().expect("the child can be asked").is_none()
    }

    /// Memory that the process has resident, in kilobytes.
    pub fn resident_kb(&self) -> u64 {
        let status = std::fs::read_to_string(self.proc("status")).expect("the node runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let line = line.expect("the kernel tells it");
        let kb = line.split_whitespace().nth(1).expect("a number");
        kb.parse().expect("a number")
    }

    /// CPU time of all the process's threads, to the 10 ms that the kernel counts in.
    pub fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(self.proc("stat")).expect("the node runs");
        // The second field is the name in parentheses, in which anything may stand.
        let (_, fields) = stat.rsplit_once(") ").expect("the name's end");
        let ticks = |field: usize| -> u64 {
            let text = fields
                .split(' ')
                .nth(field - 3)
                .expect("the field is there");
            text.parse().expect("a number")
        };
        let (user, system) = (ticks(14), ticks(15));
        Duration::from_millis(10 * (user + system))
    }

    /// Sockets that the process has open.
    pub fn open_sockets(&self) -> usize {
        let open = std::fs::read_dir(self.proc("fd")).expect("the node runs");
        // What was closed meanwhile has no target any more.
        open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count()
    }

    /// Where clients connect.
    pub fn address(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// The socket's path.
    pub fn socket(&self) -> PathBuf {
        self.sockets.path().join("gateway")
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        match self.setup.launch {
            Launch::Plain | Launch::FailingWrites => self.path("data"),
            Launch::SmallDisk(_) => self.path("disk/data"),
        }
    }

    /// What the node wrote to standard error, over all its lives.
    pub fn stderr(&self) -> String {
        std::fs::read(self.path("stderr"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Adds a line to what [`Node::stderr`] gives, to tell the lives of a node apart.
    pub fn note(&self, line: &str) {
        writeln!(self.stderr_file(), "--- {line}").expect("the file can be written");
    }

    fn stderr_file(&self) -> File {
        File::options()
            .create(true)
            .append(true)
            .open(self.path("stderr"))
            .expect("the file can be opened")
    }

    fn proc(&self, name: &str) -> PathBuf {
        let child = self.child.as_ref().expect("the node runs");
        PathBuf::from(format!("/proc/{}/{name}", child.id()))
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.files.path().join(name)
    }
}

impl Drop for Node {
    /// Leaves no process behind where a test fails.
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
