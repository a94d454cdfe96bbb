//! Which handler serves which code.
//!
//! A handler is a function over [`Broker`], [`Peer`] and [`Request`]. It answers at once, or gives back a future where
//! an answer must wait (a commit, a new message); appends themselves happen in the order requests came in.

mod admin;
mod asking;
mod attributes;
mod find;
mod membership;
mod namesrv;
mod offsets;
mod orderly;
pub mod outgoing;
pub mod progress;
mod pull;
pub mod recall;
mod reply;
mod reset;
mod retry;
mod send;
pub mod timers;
mod topics;

use std::sync::Arc;

use crate::{
    broker::Broker,
    clients::peer::{Peer, Port},
    remoting::{Handled, Reply, Request, codes::request as codes},
};

/// Serves one request.
pub(crate) fn handle(broker: &Arc<Broker>, peer: &Arc<Peer>, request: &Request<'_>) -> Reply {
    let handled = match (peer.port, request.header.code) {
        (_, codes::GET_ROUTEINFO_BY_TOPIC) => namesrv::route(broker, request),
        (_, codes::GET_BROKER_CLUSTER_INFO) => namesrv::cluster(broker, request),
        (_, codes::GET_ALL_TOPIC_LIST_FROM_NAMESERVER) => namesrv::topic_list(broker),
        (Port::NameService, codes::CONSUMER_SEND_MSG_BACK) => retry::misdirected(broker, peer, request),
        (Port::NameService, _) => admin::names(broker, request),
        (Port::Broker, code) => handle_broker(broker, code, peer, request),
    };
    handled.unwrap_or_else(Reply::Now)
}

fn handle_broker(broker: &Arc<Broker>, code: i32, peer: &Arc<Peer>, request: &Request<'_>) -> Handled {
    match code {
        codes::SEND_MESSAGE | codes::SEND_MESSAGE_V2 | codes::SEND_BATCH_MESSAGE => {
            send::handle(broker, peer, request)
        }
        codes::SEND_REPLY_MESSAGE | codes::SEND_REPLY_MESSAGE_V2 => reply::handle(broker, peer, request),
        codes::PULL_MESSAGE | codes::LITE_PULL_MESSAGE => pull::handle(broker, peer, request),
        codes::QUERY_MESSAGE => find::by_key(broker, request),
        codes::VIEW_MESSAGE_BY_ID => find::by_position(broker, request),
        codes::QUERY_CONSUMER_OFFSET => offsets::query(broker, request),
        codes::UPDATE_CONSUMER_OFFSET => offsets::update(broker, request),
        codes::GET_MAX_OFFSET => offsets::max(broker, request),
        codes::GET_MIN_OFFSET => offsets::min(broker, request),
        codes::SEARCH_OFFSET_BY_TIMESTAMP => offsets::by_time(broker, request),
        codes::GET_EARLIEST_MSG_STORETIME => offsets::earliest_time(broker, request),
        codes::HEART_BEAT => membership::heartbeat(broker, peer, request),
        codes::UNREGISTER_CLIENT => membership::unregister(broker, peer, request),
        codes::GET_CONSUMER_LIST_BY_GROUP => membership::consumer_list(broker, request),
        codes::LOCK_BATCH_MQ => orderly::lock(broker, request),
        codes::UNLOCK_BATCH_MQ => orderly::unlock(broker, request),
        codes::CHECK_CLIENT_CONFIG => membership::check_client(request),
        codes::GET_CONSUMER_RUNNING_INFO => asking::running_info(broker, request),
        codes::CONSUME_MESSAGE_DIRECTLY => asking::consume_directly(broker, request),
        codes::INVOKE_BROKER_TO_GET_CONSUMER_STATUS => asking::consumer_status(broker, request),
        codes::INVOKE_BROKER_TO_RESET_OFFSET => reset::handle(broker, request),
        codes::CONSUMER_SEND_MSG_BACK => retry::handle(broker, peer, request),
        codes::UPDATE_AND_CREATE_TOPIC => topics::update(broker, request),
        codes::GET_TOPIC_CONFIG => topics::get(broker, request),
        codes::RECALL_MESSAGE => recall::handle(broker, request),
        codes::TIMER_LIST => timers::list(broker, request),
        codes::TIMER_SHOW => timers::show(broker, request),
        codes::TIMER_CANCEL => timers::cancel(broker, request),
        codes::TIMER_FORECAST => timers::forecast(broker, request),
        codes::GROUP_PROGRESS => progress::groups(broker, request),
        _ => admin::handle(broker, request),
    }
}
