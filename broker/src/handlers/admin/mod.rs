//! What administrators ask for by RocketMQ's own codes, so that `mqadmin` and dashboards work.
//!
//! Each answer is a view of what the store, the registry of clients or the counters know; nothing is kept here.
//! `docs/mqadmin.md` lists the commands.

mod connections;
mod groups;
mod maintenance;
mod offsets;
mod order;
mod progress;
mod queues;
mod refusals;
mod registry;
mod reply;
mod runtime;
mod settings;
mod statistics;
mod topics;

use std::sync::Arc;

use crate::{
    broker::Broker,
    remoting::{Handled, Request, codes::request as codes},
};

/// Serves an administrator's request at the broker port; the name service's codes are served there too.
pub(crate) fn handle(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    match request.header.code {
        codes::UPDATE_AND_CREATE_TOPIC_LIST => topics::update_list(broker, request),
        codes::GET_ALL_TOPIC_CONFIG => topics::all(broker, request),
        codes::DELETE_TOPIC_IN_BROKER => topics::delete(broker, request),
        codes::GET_SYSTEM_TOPIC_LIST_FROM_BROKER => topics::of_the_system(broker),
        codes::GET_TOPIC_STATS_INFO => queues::status(broker, request),
        codes::QUERY_CONSUME_QUEUE => queues::units(broker, request),
        codes::QUERY_CONSUME_TIME_SPAN => queues::time_spans(broker, request),
        codes::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => groups::update(broker, request),
        codes::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST => groups::update_list(broker, request),
        codes::DELETE_SUBSCRIPTIONGROUP => groups::delete(broker, request),
        codes::GET_ALL_SUBSCRIPTIONGROUP_CONFIG => groups::all(broker, request),
        codes::GET_SUBSCRIPTIONGROUP_CONFIG => groups::get(broker, request),
        codes::SET_MESSAGE_REQUEST_MODE => groups::set_mode(request),
        codes::GET_CONSUME_STATS => progress::of_group(broker, request),
        codes::GET_BROKER_CONSUME_STATS => progress::of_all(broker),
        codes::QUERY_TOPIC_CONSUME_BY_WHO => progress::groups_of_topic(broker, request),
        codes::QUERY_TOPICS_BY_CONSUMER => progress::topics_of_group(broker, request),
        codes::GET_ALL_CONSUMER_OFFSET => offsets::all(broker),
        codes::CLONE_GROUP_OFFSET => offsets::copy(broker, request),
        codes::GET_CONSUMER_CONNECTION_LIST => connections::consumers(broker, request),
        codes::GET_PRODUCER_CONNECTION_LIST => connections::producers(broker, request),
        codes::GET_ALL_PRODUCER_INFO => connections::all_producers(broker),
        codes::QUERY_SUBSCRIPTION_BY_CONSUMER => connections::subscription(broker, request),
        codes::GET_BROKER_RUNTIME_INFO => runtime::info(broker),
        codes::VIEW_BROKER_STATS_DATA => statistics::get(broker, request),
        codes::GET_BROKER_CONFIG => runtime::settings(broker),
        codes::UPDATE_BROKER_CONFIG => runtime::change_settings(),
        codes::CLEAN_EXPIRED_CONSUMEQUEUE | codes::CLEAN_UNUSED_TOPIC | codes::DELETE_EXPIRED_COMMITLOG => {
            maintenance::nothing_to_clean()
        }
        _ => names(broker, request),
    }
}

/// Serves an administrator's request to the name service.
pub(crate) fn names(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    match request.header.code {
        codes::PUT_KV_CONFIG => settings::put(broker, request),
        codes::GET_KV_CONFIG => settings::get(broker, request),
        codes::DELETE_KV_CONFIG => settings::delete(broker, request),
        codes::GET_KVLIST_BY_NAMESPACE => settings::list(broker, request),
        codes::WIPE_WRITE_PERM_OF_BROKER => registry::close_to_producers(broker, request, true),
        codes::ADD_WRITE_PERM_OF_BROKER => registry::close_to_producers(broker, request, false),
        codes::DELETE_TOPIC_IN_NAMESRV => registry::forget_topic(request),
        codes::GET_TOPICS_BY_CLUSTER => registry::topics_of_cluster(broker, request),
        codes::GET_SYSTEM_TOPIC_LIST_FROM_NS => registry::system_topics(broker),
        codes::GET_NAMESRV_CONFIG => runtime::settings(broker),
        codes::UPDATE_NAMESRV_CONFIG => runtime::change_settings(),
        other => Err(refusals::refusal(other)),
    }
}
