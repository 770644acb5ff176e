//! The directives of nginx's core and events contexts, and what they set.

use super::user::{User, user};
use crate::conf::{
    self, Args, Context, Cx, Directive, Error, Msec, Node, choice, number, put, settings,
};
use crate::sys::process::Pid;
use crate::sys::sched::CpuSet;
use crate::text::network::Network;
use std::path::PathBuf;
use std::rc::Rc;

const MAIN: Context = Context::MAIN;
const EVENTS: Context = Context::EVENTS;

settings! {
    /// What the main level says.
    pub struct Core, CoreRaw {
        pub daemon: bool = true,
        pub master_process: bool = true,
        /// Its change is a reload.
        pub config_watch: bool = false,
        /// 0: the time is read after each wait.
        pub timer_resolution: Msec = 0,
        pub pid: Option<PathBuf> = None,
        pub lock_file: Option<PathBuf> = None,
        pub worker_processes: Workers = Workers::Count(1),
        pub worker_priority: i32 = 0,
        pub worker_cpu_affinity: Rc<Affinity> = Rc::default(),
        pub worker_rlimit_nofile: Option<u64> = None,
        pub worker_rlimit_core: Option<u64> = None,
        /// 0: without limit.
        pub worker_shutdown_timeout: Msec = 0,
        /// How long a new binary may take to be ready; 0: without limit.
        pub upgrade_timeout: Msec = 30_000,
        /// Between the order to stop and the end of accepting.
        pub shutdown_delay: Msec = 0,
        /// What TERM does; `None`: by who we are.
        pub term_action: Option<TermAction> = None,
        /// WINCH means something on a terminal, too.
        pub foreground_winch: bool = false,
        /// 0: never.
        pub worker_stall_timeout: Msec = 0,
        /// How many generations of workers may live at once.
        pub worker_generations: u64 = 50,
        /// Whether a master without workers ends; `None`: by who we are.
        pub exit_on_worker_loss: Option<bool> = None,
        pub working_directory: Option<PathBuf> = None,
        /// Where a supervisor waits for a newline.
        pub notify_fd: Option<i32> = None,
        pub debug_points: Option<DebugPoints> = None,
        /// `None`: nobody, if the master is root.
        pub user: Option<User> = None,
        /// `NAME` keeps a variable, `NAME=value` sets one.
        pub env: Vec<Vec<u8>> = Vec::new(),
    }
}

settings! {
    /// What `events` says.
    pub struct Events, EventsRaw {
        pub worker_connections: u64 = 512,
        pub multi_accept: bool = false,
        pub accept_mutex: bool = false,
        /// Who has accepted more than its share hands new connections to others.
        pub worker_balance: bool = true,
        pub accept_mutex_delay: Msec = 500,
        /// Under a load of short connections, whether the kernel holds them until they speak.
        pub accept_defer: bool = true,
        pub debug_connection: Vec<Network> = Vec::new(),
        /// `use`: epoll, there is no other.
        pub method: () = (),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Workers {
    Auto,
    Count(usize),
}

impl Workers {
    /// It is known to be so many.
    pub fn is(self, count: usize) -> bool {
        self == Workers::Count(count)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DebugPoints {
    Stop,
    Abort,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TermAction {
    Fast,
    Graceful,
}

impl Core {
    /// What a server is, only its start decides.
    pub fn goes_on_as(&mut self, master_process: bool, daemon: bool) {
        (self.master_process, self.daemon) = (master_process, daemon);
    }

    /// Process 1 is a container's: what it serves ends with it, and nobody else looks after it.
    pub fn is_term_graceful(&self, master: Pid) -> bool {
        let usual = if master == 1 { TermAction::Graceful } else { TermAction::Fast };
        self.term_action.unwrap_or(usual) == TermAction::Graceful
    }

    pub fn exits_on_worker_loss(&self, master: Pid) -> bool {
        self.exit_on_worker_loss.unwrap_or(master == 1)
    }
}

/// `worker_cpu_affinity`.
#[derive(Clone, Default)]
pub struct Affinity {
    /// One CPU each, of those in the mask (of all, if there is none).
    pub auto: bool,
    /// For one worker each, the last one for all the rest.
    pub masks: Vec<CpuSet>,
}

/// One CPU for each worker and no more than that many masks are of use.
const MASK_MAX: usize = CpuSet::LIMIT;

pub static MAIN_TABLE: &[Directive<CoreRaw>] = &[
    Directive::level("events", MAIN, Args::NONE),
    Directive::level("http", MAIN, Args::NONE),
    Directive::level(conf::DEFAULTS, MAIN, Args::NONE),
    Directive::flag("daemon", MAIN, |raw| &mut raw.daemon),
    Directive::flag("master_process", MAIN, |raw| &mut raw.master_process),
    Directive::flag("config_watch", MAIN, |raw| &mut raw.config_watch),
    Directive::msec("timer_resolution", MAIN, |raw| &mut raw.timer_resolution),
    Directive::call("pid", MAIN, Args::ONE, |raw, cx, node| path(&mut raw.pid, cx, node)),
    Directive::call("lock_file", MAIN, Args::ONE, |raw, cx, node| {
        path(&mut raw.lock_file, cx, node)
    }),
    Directive::call("worker_processes", MAIN, Args::ONE, |raw, _, node| {
        put(&mut raw.worker_processes, node, worker_processes(node))
    }),
    Directive::call("debug_points", MAIN, Args::ONE, |raw, _, node| {
        let kinds = [("stop", Some(DebugPoints::Stop)), ("abort", Some(DebugPoints::Abort))];
        put(&mut raw.debug_points, node, choice(node, 0, &kinds))
    }),
    Directive::call("user", MAIN, Args::ONE_TWO, |raw, cx, node| {
        put(&mut raw.user, node, user(cx, node))
    }),
    Directive::call("worker_priority", MAIN, Args::ONE, |raw, _, node| {
        put(&mut raw.worker_priority, node, worker_priority(node))
    }),
    Directive::call("worker_cpu_affinity", MAIN, Args::ONE_MORE, |raw, _, node| {
        put(&mut raw.worker_cpu_affinity, node, affinity(node).map(Rc::new))
    }),
    Directive::call("worker_rlimit_nofile", MAIN, Args::ONE, |raw, _, node| {
        put(&mut raw.worker_rlimit_nofile, node, number(node, 0).map(Some))
    }),
    Directive::call("worker_rlimit_core", MAIN, Args::ONE, |raw, _, node| {
        put(&mut raw.worker_rlimit_core, node, conf::off(node, 0).map(Some))
    }),
    Directive::msec("worker_shutdown_timeout", MAIN, |raw| &mut raw.worker_shutdown_timeout),
    Directive::msec("upgrade_timeout", MAIN, |raw| &mut raw.upgrade_timeout),
    Directive::msec("shutdown_delay", MAIN, |raw| &mut raw.shutdown_delay),
    Directive::call("term_action", MAIN, Args::ONE, |raw, _, node| {
        let actions = [("fast", Some(TermAction::Fast)), ("graceful", Some(TermAction::Graceful))];
        put(&mut raw.term_action, node, choice(node, 0, &actions))
    }),
    Directive::call("notify_fd", MAIN, Args::ONE, |raw, _, node| {
        put(&mut raw.notify_fd, node, notify_fd(node).map(Some))
    }),
    Directive::flag("foreground_winch", MAIN, |raw| &mut raw.foreground_winch),
    Directive::msec("worker_stall_timeout", MAIN, |raw| &mut raw.worker_stall_timeout),
    Directive::call("worker_generations", MAIN, Args::ONE, |raw, _, node| {
        put(&mut raw.worker_generations, node, worker_generations(node))
    }),
    Directive::call("exit_on_worker_loss", MAIN, Args::ONE, |raw, _, node| {
        put(&mut raw.exit_on_worker_loss, node, conf::flag(node, 0).map(Some))
    }),
    Directive::call("working_directory", MAIN, Args::ONE, |raw, cx, node| {
        path(&mut raw.working_directory, cx, node)
    }),
    Directive::call("env", MAIN, Args::ONE, |raw, _, node| {
        raw.env.get_or_insert_default().push(node.arg(0).to_vec());
        Ok(())
    }),
    Directive::call("error_log", MAIN, Args::ONE_MORE, |_, cx, node| {
        let logs = Rc::clone(&cx.main_error_log);
        cx.error_log(node, &logs)
    }),
    Directive::ignored("pcre_jit", MAIN, Args::ONE, flag, "limpet has no PCRE"),
    Directive::ignored("thread_pool", MAIN, Args::TWO_THREE, thread_pool, "limpet has no threads"),
    Directive::ignored("ssl_engine", MAIN, Args::ONE, |_| Ok(()), "limpet has no TLS"),
    Directive::call("load_module", MAIN, Args::ONE, |_, _, node| {
        Err(Error::directive(node, "is not supported by limpet: everything it has is built in"))
    }),
    Directive::call("include", Context::ANY, Args::ONE, |_, _, _| Ok(())),
];

pub static EVENTS_TABLE: &[Directive<EventsRaw>] = &[
    Directive::call("worker_connections", EVENTS, Args::ONE, |raw, _, node| {
        put(&mut raw.worker_connections, node, worker_connections(node))
    }),
    Directive::call("use", EVENTS, Args::ONE, |raw, _, node| {
        put(&mut raw.method, node, event_method(node))
    }),
    Directive::flag("multi_accept", EVENTS, |raw| &mut raw.multi_accept),
    Directive::flag("accept_mutex", EVENTS, |raw| &mut raw.accept_mutex),
    Directive::flag("accept_defer", EVENTS, |raw| &mut raw.accept_defer),
    Directive::flag("worker_balance", EVENTS, |raw| &mut raw.worker_balance),
    Directive::msec("accept_mutex_delay", EVENTS, |raw| &mut raw.accept_mutex_delay),
    Directive::call("debug_connection", EVENTS, Args::ONE, |raw, cx, node| {
        let networks = cx.networks(node)?;
        raw.debug_connection.get_or_insert_default().extend(networks);
        Ok(())
    }),
    Directive::ignored(
        "worker_aio_requests",
        EVENTS,
        Args::ONE,
        |node| number(node, 0).map(drop),
        "limpet has no asynchronous file access",
    ),
    Directive::ignored(
        "epoll_events",
        EVENTS,
        Args::ONE,
        |node| number(node, 0).map(drop),
        "limpet takes as many events at a time as suits it",
    ),
];

fn path(field: &mut Option<Option<PathBuf>>, cx: &Cx, node: Node) -> Result<(), Error> {
    put(field, node, Ok(Some(cx.path(&node.arg(0)))))
}

fn flag(node: Node) -> Result<(), Error> {
    conf::flag(node, 0).map(drop)
}

fn worker_processes(node: Node) -> Result<Workers, Error> {
    if node.arg(0).bytes() == b"auto" {
        return Ok(Workers::Auto);
    }
    let count = number(node, 0).ok().and_then(|count| usize::try_from(count).ok());
    match count {
        Some(0) => Err(Error::directive(node, "invalid value").hint("there must be a worker")),
        Some(count) => Ok(Workers::Count(count)),
        None => Err(Error::directive(node, "invalid value")),
    }
}

/// A reload has two of them for a moment.
fn worker_generations(node: Node) -> Result<u64, Error> {
    match number(node, 0)? {
        0 | 1 => Err(Error::directive(node, "invalid value").hint("a reload takes two")),
        count => Ok(count),
    }
}

/// Not one of those that everybody has.
fn notify_fd(node: Node) -> Result<i32, Error> {
    let number = i32::try_from(number(node, 0)?).ok().filter(|number| *number > 2);
    number.ok_or_else(|| Error::directive(node, "invalid value").hint("3 or more"))
}

fn worker_priority(node: Node) -> Result<i32, Error> {
    let text = node.arg(0).bytes();
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] => (1, digits),
        digits => (1, digits),
    };
    let value = conf::parse_number(digits).and_then(|value| i32::try_from(value).ok());
    value.map(|value| sign * value).ok_or_else(|| Error::directive(node, "invalid number"))
}

fn affinity(node: Node) -> Result<Affinity, Error> {
    let auto = node.arg(0).bytes() == b"auto";
    if auto && node.args_len() > 2 {
        let text = "invalid number of arguments in \"worker_cpu_affinity\" directive";
        return Err(Error::at(node.name(), text));
    }
    let masks = node.args().skip(usize::from(auto)).map(mask);
    Ok(Affinity { auto, masks: masks.collect::<Result<_, _>>()? })
}

/// `0101`: the lowest CPU stands last; blanks may separate groups.
fn mask(word: conf::Word) -> Result<CpuSet, Error> {
    let mut set = CpuSet::empty();
    let digits = word.bytes().iter().rev().filter(|digit| **digit != b' ');
    for (cpu, digit) in digits.enumerate() {
        let known = match digit {
            b'0' => true,
            b'1' => set.insert(cpu),
            _ => false,
        };
        if cpu >= MASK_MAX {
            let text = format!("\"worker_cpu_affinity\" supports up to {MASK_MAX} CPUs only");
            return Err(Error::at(word, text));
        }
        if !known {
            let shown = conf::Shown(std::slice::from_ref(digit));
            let text = format!("invalid character \"{shown}\" in \"worker_cpu_affinity\"");
            return Err(Error::at(word, text));
        }
    }
    Ok(set)
}

fn thread_pool(node: Node) -> Result<(), Error> {
    let mut threads = false;
    for word in node.args().skip(1) {
        let (name, value) = word.split_at(word.iter().position(|b| *b == b'=').unwrap_or(0));
        let valid = conf::parse_number(value.get(1..).unwrap_or_default());
        match (name, valid) {
            (b"threads", Some(count)) if count > 0 => threads = true,
            (b"threads", _) => return Err(invalid("threads", word)),
            (b"max_queue", Some(_)) => (),
            (b"max_queue", None) => return Err(invalid("max_queue", word)),
            _ => (),
        }
    }
    let text = "\"thread_pool\" must have \"threads\" parameter";
    if threads { Ok(()) } else { Err(Error::at(node.name(), text)) }
}

fn invalid(what: &str, word: conf::Word) -> Error {
    Error::at(word, format!("invalid {what} value \"{word}\""))
}

fn worker_connections(node: Node) -> Result<u64, Error> {
    let word = node.arg(0);
    conf::parse_number(&word).ok_or_else(|| Error::at(word, format!("invalid number \"{word}\"")))
}

fn event_method(node: Node) -> Result<(), Error> {
    let word = node.arg(0);
    if word.bytes() == b"epoll" {
        return Ok(());
    }
    Err(Error::at(word, format!("invalid event type \"{word}\"")).hint("limpet has epoll only"))
}
