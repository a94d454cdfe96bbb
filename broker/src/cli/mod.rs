//! The command line: what was asked, and what the person at the terminal is told.

pub mod config;
pub mod demo;
mod opening;
mod tools;

use std::{
    ffi::OsString,
    io::{IsTerminal, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep},
};
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use mainspring::{Store, Wait};

use crate::{
    broker::{Broker, NAMES_MAX, Settings},
    cli::{
        config::{Commit, Config, Given, LogFormat, shown},
        opening::{Progress, open_aloud},
        tools::{Failure, Tool},
    },
    clients::holds::Holds,
    clock::RuntimeClock,
    health::Health,
    net::{
        self,
        http::{self, Watched},
        server::{self, Listeners},
    },
};

/// How something is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Something failed while running.
const FAILED: u8 = 1;
/// What was asked makes no sense.
const USAGE: u8 = 2;
/// Port of the name service where nothing else is said, here and in the tools.
const DEFAULT_PORT: u16 = 9876;

/// A RocketMQ-compatible broker in one binary: name service, broker and timers.
#[derive(Debug, Parser)]
#[command(name = "mainspring", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves clients until it is stopped (the default)
    Serve(Box<Serve>),
    /// Shows in half a minute that nothing is lost, doubled or early over a kill -9
    Demo(crate::cli::demo::Demo),
    #[command(flatten)]
    Tool(Tool),
    /// Prints a completion script: `source <(mainspring completions bash)`
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
struct Serve {
    /// File with settings, in TOML
    #[arg(long, env = "MAINSPRING_CONFIG", hide_env = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    given: Given,
    /// Show every setting with where it comes from, and serve nothing
    #[arg(long)]
    print_config: bool,
    /// How to show the settings
    #[arg(short, long, value_enum, requires = "print_config", default_value = "table")]
    output: Output,
    /// A known bug to run with
    #[cfg(feature = "planted")]
    #[arg(long, hide = true, value_name = "NAME")]
    planted: Option<String>,
}

/// Opens the store that a configuration asks for; records carry the second argument as their broker's address, and the
/// third is told of new messages.
pub type Open = fn(&Config, std::net::SocketAddrV4, Arc<Holds>) -> mainspring::Result<Store>;

/// Runs the program. Exit codes: 0 done, 1 failed, 2 not understood.
pub fn main(arguments: impl IntoIterator<Item = OsString>, open: Open) -> ExitCode {
    let parsed = Cli::command().try_get_matches_from(arguments);
    let (cli, matches) = match parsed.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches))) {
        Ok(parsed) => parsed,
        Err(told) => {
            // Help and version are no mistakes and go to standard output.
            let _ = told.print();
            return ExitCode::from(if told.use_stderr() { USAGE } else { 0 });
        }
    };
    let serve = match cli.command {
        Some(Command::Serve(serve)) => *serve,
        Some(Command::Demo(demo)) => {
            return crate::cli::demo::run(&demo).map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS);
        }
        Some(Command::Tool(tool)) => return ended(tools::run(&tool)),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "mainspring", &mut script);
            say(&String::from_utf8_lossy(&script));
            return ExitCode::SUCCESS;
        }
        None => cli.serve,
    };
    #[cfg(feature = "planted")]
    if let Err(error) = serve.planted.as_deref().map_or(Ok(()), plant) {
        return failed(&error);
    }
    let given = matches.subcommand_matches("serve").unwrap_or(&matches);
    let config = match decide(serve, given) {
        Ok(Decided::Serve(config)) => config,
        Ok(Decided::Show(text)) => {
            say(&text);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("mainspring: {error}");
            return ExitCode::from(USAGE);
        }
    };
    let progress = Progress::default();
    log_to_stderr(&config, &progress);
    let runtime = match net::runtime("mainspring-net") {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start: {error}")),
    };
    match runtime.block_on(run(&config, open, &progress)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Switches a known bug on in every thread.
#[cfg(feature = "planted")]
fn plant(name: &str) -> Result<(), String> {
    use mainspring::planted::{ALL, plant_everywhere};
    let bug = ALL.iter().find(|bug| format!("{bug:?}") == name).ok_or(format!("no bug is called {name}"))?;
    eprintln!("mainspring: running with the planted bug {name}");
    plant_everywhere(*bug);
    Ok(())
}

/// The exit code of a tool, after what went wrong was said.
fn ended(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Quiet(code)) => ExitCode::from(code),
        Err(Failure::Failed(error)) => failed(&error),
    }
}

fn failed(error: &str) -> ExitCode {
    eprintln!("mainspring: {error}");
    ExitCode::from(FAILED)
}

/// What the program is to do.
enum Decided {
    Serve(Box<Config>),
    Show(String),
}

fn decide(serve: Serve, matches: &ArgMatches) -> Result<Decided, config::ConfigError> {
    config::check_environment(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))?;
    let file = serve.config.map(|path| Ok((config::read_file(&path)?, path))).transpose()?;
    let below = file.as_ref().map(|(text, path)| Given::parse_file(text, path)).transpose()?;
    let config = Config::new(serve.given.over(below.unwrap_or_default()))?;
    if !serve.print_config {
        return Ok(Decided::Serve(Box::new(config)));
    }
    let shown = shown::shown(&config, matches, file.as_ref().map(|(text, path)| (path.clone(), &**text)));
    Ok(Decided::Show(match serve.output {
        Output::Table => shown::table(&shown),
        Output::Json => serde_json::json!({"v": 1, "settings": shown}).to_string() + "\n",
    }))
}

/// `RUST_LOG` wins over the setting, as everybody expects who knows it.
fn log_to_stderr(config: &Config, progress: &Progress) {
    let filter = EnvFilter::try_from_env("RUST_LOG").unwrap_or_else(|_| EnvFilter::new(&config.log_level));
    let colours = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    let lines = match config.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).with(progress.clone()).init();
}

/// Serves those who watch, if they are to be served. That they cannot be is no reason not to serve clients, unless
/// somebody chose the address.
async fn watch(config: &Config, health: &Arc<Health>) -> Result<Option<SocketAddr>, String> {
    let Some(address) = config.http_listen else { return Ok(None) };
    match http::bind(address).await {
        Ok(listener) => {
            let at = listener.local_addr().map_err(|e| e.to_string())?;
            tokio::spawn(http::serve(listener, Watched::new(Arc::clone(health))));
            Ok(Some(at))
        }
        Err(error) if config.http_chosen => Err(format!(
            "metrics and health checks cannot be served on {address}: {error}; choose another address with \
             --http-listen HOST:PORT, or none"
        )),
        Err(error) => {
            tracing::warn!(%address, %error, "no metrics and no health checks: choose an address with --http-listen");
            Ok(None)
        }
    }
}

async fn run(config: &Config, open: Open, progress: &Progress) -> Result<(), String> {
    let listeners =
        Listeners::bind(config.broker_listen, config.namesrv_listen).await.map_err(|e| e.to_string())?;
    let broker_at = listeners.broker_address().map_err(|e| e.to_string())?;
    let names_at = listeners.name_service_address().map_err(|e| e.to_string())?;
    let health = Arc::new(Health::opening(Arc::clone(&progress.0)));
    let watched_at = watch(config, &health).await?;
    let advertised = config.advertised(broker_at);
    let holds = Holds::new();
    let (own, told) = (config.clone(), Arc::clone(&holds));
    let began = Instant::now();
    let store = open_aloud(config, progress, move || open(&own, advertised, told)).await?;
    let settings = Settings {
        broker_name: config.broker_name.clone(),
        cluster_name: config.cluster_name.clone(),
        advertised,
        acknowledge: match config.commit {
            Commit::Appended => Wait::Appended,
            Commit::Flushed => Wait::Committed,
        },
        auto_create_topics: config.auto_create_topics,
        default_queues: config.default_queues,
        message_bytes_max: config.message_bytes_max,
        attempts_max: config.attempts_max,
        names_max: NAMES_MAX,
        connections_max: config.connections_max,
        memory_bytes_max: config.memory_bytes_max,
        properties: config.properties(),
    };
    let opened_in = began.elapsed();
    let stop = stop_signal().map_err(|e| format!("cannot wait for signals: {e}"))?;
    let broker = Broker::new(store.clone(), holds, Arc::new(RuntimeClock::start()), settings);
    health.serving(&broker, opened_in);
    say(&greeting(config, (broker_at, names_at, watched_at)));
    let drain = Duration::from_millis(config.drain_ms);
    let told = Arc::clone(&health);
    server::run(broker, listeners, async move {
        stop.await;
        told.stopping();
        sleep(drain).await;
    })
    .await;
    health.closing();
    say("no client is connected any more; writing the rest to disk\n");
    let closed = tokio::task::spawn_blocking(move || store.close()).await;
    match closed {
        Ok(Ok(())) => {
            say("stopped; everything is on disk\n");
            Ok(())
        }
        Ok(Err(error)) => Err(format!("the store did not close cleanly: {error}")),
        Err(_) => Err(String::from("the store did not close")),
    }
}

/// Writes to standard output; that nobody reads it is no reason to stop.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Ends with the first interrupt or termination; a second one ends the process at once, which the store survives.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        let name = tokio::select! {
            _ = interrupt.recv() => "interrupt",
            _ = terminate.recv() => "SIGTERM",
        };
        say(&format!("{name}: answering what is under way, then stopping; once more to stop at once\n"));
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            say("stopped at once; the next start reads the end of the log again\n");
            std::process::exit(i32::from(FAILED));
        });
    })
}

fn greeting(
    config: &Config,
    (broker, names, watched): (SocketAddr, SocketAddr, Option<SocketAddr>),
) -> String {
    let directory = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    let commit = match config.commit {
        Commit::Appended => {
            "appended: a sent message survives a kill, not the last half second before a power cut"
        }
        Commit::Flushed => "flushed: a sent message survives a kill and a power cut",
    };
    let version = env!("CARGO_PKG_VERSION");
    let advertised = config.advertised(broker);
    let dial =
        if names.ip().is_unspecified() { SocketAddr::from((*advertised.ip(), names.port())) } else { names };
    let topics = if config.auto_create_topics {
        "topics appear with their first message"
    } else {
        "topics must be created by an administrator"
    };
    let watched = watched.map_or(String::new(), |at| format!("  metrics       http://{at}/metrics\n"));
    format!(
        "mainspring {version}\n\
         \x20 name service  {names}\n\
         \x20 broker        {broker} ({} in {}, advertised as {advertised})\n\
         \x20 data          {}\n\
         \x20 commit        {commit}\n\
         {watched}\
         Point any RocketMQ client at {dial}; {topics}. Try next:\n\
         {}\
         Stop with Ctrl-C. All settings: {} serve --help\n",
        config.broker_name,
        config.cluster_name,
        directory.display(),
        next_lines(dial),
        program(),
    )
}

/// This program as a shell takes it.
fn program() -> String {
    let name = std::env::args().next().unwrap_or_else(|| String::from("mainspring"));
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+".contains(c);
    if name.chars().all(plain) { name } else { format!("'{}'", name.replace('\'', r"'\''")) }
}

/// Three commands that work as they stand while the broker runs.
fn next_lines(dial: SocketAddr) -> String {
    let at = match dial.port() == DEFAULT_PORT && dial.ip().is_loopback() {
        true => String::new(),
        false => format!(" --namesrv {dial}"),
    };
    let program = program();
    format!(
        "  {program} send{at} -t first --delay 10s 'hello, later'\n\
         \x20 {program} timer list{at}\n\
         \x20 {program} tail{at} first --group me\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_parse_with_and_without_the_command() {
        for arguments in
            [&["mainspring", "--max-attempts", "3"][..], &["mainspring", "serve", "--max-attempts", "3"]]
        {
            let cli = Cli::try_parse_from(arguments).unwrap();
            let serve = match cli.command {
                Some(Command::Serve(serve)) => *serve,
                Some(other) => panic!("this was not asked for: {other:?}"),
                None => cli.serve,
            };
            assert_eq!(serve.given.max_attempts, Some(3));
        }
        assert!(Cli::try_parse_from(["mainspring", "--max-attemps", "3"]).is_err());
    }

    #[test]
    fn every_setting_is_a_flag_and_an_environment_variable() {
        use clap::CommandFactory;
        let command = Cli::command();
        for key in config::KEYS {
            let flag = command.get_arguments().find(|argument| argument.get_id() == key).unwrap();
            assert_eq!(flag.get_long().unwrap(), key.replace('_', "-"));
            let variable = flag.get_env().unwrap().to_str().unwrap();
            assert_eq!(variable, format!("{}{}", config::ENV_PREFIX, key.to_uppercase()));
        }
    }

    #[test]
    fn the_page_has_every_tool_and_every_code_of_ours() {
        use crate::remoting::codes::request as codes;
        let page = include_str!("../../../docs/tools.md");
        for command in Cli::command().get_subcommands().map(clap::Command::get_name) {
            assert!(command == "serve" || page.contains(&format!("`{command}")), "{command}");
        }
        let last = codes::GROUP_PROGRESS;
        for code in codes::PRIVATE + 1..=last {
            assert!(page.contains(&format!("\n| {code} | ")), "{code}");
        }
        assert!(!page.contains(&format!("\n| {} | ", last + 1)));
    }

    #[test]
    fn the_greeting_says_where_and_what() {
        let config = Config::new(Given::default()).unwrap();
        let text = greeting(&config, (config.broker_listen, config.namesrv_listen, config.http_listen));
        for part in [
            "127.0.0.1:9876",
            "http://127.0.0.1:9877/metrics",
            "127.0.0.1:10911",
            "/data",
            "flushed",
            "first message",
            "serve --help",
            " timer list\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let given =
            Given { auto_create_topics: Some(false), ..Given::parse("advertise = \"192.0.2.7\"").unwrap() };
        let everywhere = "0.0.0.0:9876".parse().unwrap();
        let text = greeting(&Config::new(given).unwrap(), (config.broker_listen, everywhere, None));
        assert!(!text.contains("/metrics"), "{text}");
        assert!(text.contains("client at 192.0.2.7:9876; topics must be created"), "{text}");
        assert!(text.contains(" timer list --namesrv 192.0.2.7:9876\n"), "{text}");
    }
}
