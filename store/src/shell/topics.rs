//! Settings of topics for those who look them up with every message: beside the views, whose lock is mostly taken by
//! whoever applies.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::hash::NameHash;
use crate::settings::TopicConfig;
use crate::views::Views;

/// See the module. Changed while the views are, so that nobody sees one without the other.
#[derive(Debug)]
pub(crate) struct Topics(RwLock<HashMap<Arc<str>, Arc<TopicConfig>, NameHash>>);

impl Topics {
    /// Those of `views`; `seed` keeps names from being chosen to collide.
    pub(super) fn of(views: &Views, seed: u64) -> Self {
        let mut all = HashMap::with_hasher(NameHash::new(seed));
        all.extend(
            views.topics().filter_map(|t| Some((Arc::clone(&t.name), Arc::clone(t.config.as_ref()?)))),
        );
        Self(RwLock::new(all))
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<TopicConfig>> {
        self.0.read().get(name).cloned()
    }

    /// Takes over what an apply changed: topics by their index in the views.
    pub(super) fn update(&self, views: &Views, changed: &[usize]) {
        if changed.is_empty() {
            return;
        }
        let mut all = self.0.write();
        for topic in changed.iter().filter_map(|topic| views.topics.get(*topic)) {
            match &topic.config {
                Some(config) => drop(all.insert(Arc::clone(&topic.name), Arc::clone(config))),
                None => drop(all.remove(&topic.name)),
            }
        }
    }
}
