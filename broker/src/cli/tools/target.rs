//! Whom a tool asks: a running broker, or a store at rest.

use std::path::{Path, PathBuf};

use mainspring::{ErrorKind, inspect::Image};

use super::print::Failure;
use crate::{
    cli::config,
    client::Dialed,
    names::{DEFAULT_TOPIC, shown},
};

/// Where the broker is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Running {
    /// Address of the name service; several with semicolons are tried in turn
    #[arg(long, env = "NAMESRV_ADDR", default_value = "127.0.0.1:9876", value_name = "HOST:PORT")]
    pub(crate) namesrv: String,
}

impl Running {
    pub(crate) fn dial(&self) -> Result<Dialed, Failure> {
        Ok(Dialed::dial(&self.namesrv)?)
    }
}

/// A broker, or else a store at rest.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Target {
    #[command(flatten)]
    pub(crate) running: Running,
    /// Look at the store at rest in this directory instead of asking a broker
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// Looks at a store at rest.
pub(crate) fn look(dir: &Path) -> Result<Image, Failure> {
    Image::open(dir).map_err(|error| at_rest(dir, &error))
}

/// What to tell where a store at rest cannot be looked at.
pub(crate) fn at_rest(dir: &Path, error: &mainspring::Error) -> Failure {
    let advice = match error.kind() {
        ErrorKind::Locked => "ask the broker that has it open, with --namesrv HOST:PORT, or stop it first",
        ErrorKind::NotFound => "name the directory that a broker was started with (--data-dir)",
        ErrorKind::Version => "use the mainspring that wrote it",
        ErrorKind::Corrupt => "`mainspring verify` names every damaged file",
        _ => "this user must be able to read it",
    };
    Failure::Failed(format!("cannot look at the store in {}: {error}; {advice}", dir.display()))
}

/// The failure for a topic that does not exist: with the names that it may have meant.
pub(crate) fn no_topic(name: &str, known: &[String]) -> Failure {
    let most = (name.chars().count() / 3).max(2);
    let mut near: Vec<(usize, &String)> = known
        .iter()
        .filter(|topic| *topic != DEFAULT_TOPIC && !topic.starts_with('%'))
        .map(|topic| (config::distance(topic, name), topic))
        .filter(|(distance, topic)| *distance <= most || topic.contains(name))
        .collect();
    near.sort();
    let near: Vec<String> = near.iter().take(3).map(|(_, topic)| format!("`{topic}`")).collect();
    let advice = match near.is_empty() {
        true => String::from("`mainspring topics` lists all; the first message to a topic makes it"),
        false => format!("did you mean {}?", near.join(" or ")),
    };
    Failure::Failed(format!("no topic is called `{}`; {advice}", shown(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_offered() {
        let known = ["orders", "order-events", "TBW102", "%RETRY%order", "x"].map(String::from);
        let told = |name| match no_topic(name, &known) {
            Failure::Failed(text) => text,
            other => panic!("{other:?}"),
        };
        assert!(told("ordres").ends_with("did you mean `orders`?"), "{}", told("ordres"));
        assert!(told("order").contains("`orders` or `order-events`"), "{}", told("order"));
        assert!(told("payments").contains("mainspring topics"));
    }
}
