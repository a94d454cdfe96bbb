//! The numbers of the remoting protocol by name.

/// Constants, and the way back from a number to its name.
macro_rules! names {
    ($($name:ident = $code:expr;)*) => {
        $(pub const $name: i32 = $code;)*

        /// The name of a code, if it has one here.
        #[must_use]
        pub const fn name(code: i32) -> Option<&'static str> {
            match code {
                $($name => Some(stringify!($name)),)*
                _ => None,
            }
        }
    };
}

/// Codes of requests, in either direction.
#[allow(missing_docs, reason = "the names are the protocol's own and say what they are")]
pub mod request {
    /// Requests of our own tools start here; RocketMQ gives out none of these.
    pub const PRIVATE: i32 = 77_000;

    names! {
        SEND_MESSAGE = 10;
        PULL_MESSAGE = 11;
        QUERY_MESSAGE = 12;
        QUERY_CONSUMER_OFFSET = 14;
        UPDATE_CONSUMER_OFFSET = 15;
        UPDATE_AND_CREATE_TOPIC = 17;
        UPDATE_AND_CREATE_TOPIC_LIST = 18;
        GET_ALL_TOPIC_CONFIG = 21;
        UPDATE_BROKER_CONFIG = 25;
        GET_BROKER_CONFIG = 26;
        GET_BROKER_RUNTIME_INFO = 28;
        SEARCH_OFFSET_BY_TIMESTAMP = 29;
        GET_MAX_OFFSET = 30;
        GET_MIN_OFFSET = 31;
        GET_EARLIEST_MSG_STORETIME = 32;
        VIEW_MESSAGE_BY_ID = 33;
        HEART_BEAT = 34;
        UNREGISTER_CLIENT = 35;
        CONSUMER_SEND_MSG_BACK = 36;
        GET_CONSUMER_LIST_BY_GROUP = 38;
        NOTIFY_CONSUMER_IDS_CHANGED = 40;
        LOCK_BATCH_MQ = 41;
        UNLOCK_BATCH_MQ = 42;
        GET_ALL_CONSUMER_OFFSET = 43;
        CHECK_CLIENT_CONFIG = 46;
        PUT_KV_CONFIG = 100;
        GET_KV_CONFIG = 101;
        DELETE_KV_CONFIG = 102;
        GET_ROUTEINFO_BY_TOPIC = 105;
        GET_BROKER_CLUSTER_INFO = 106;
        UPDATE_AND_CREATE_SUBSCRIPTIONGROUP = 200;
        GET_ALL_SUBSCRIPTIONGROUP_CONFIG = 201;
        GET_TOPIC_STATS_INFO = 202;
        GET_CONSUMER_CONNECTION_LIST = 203;
        GET_PRODUCER_CONNECTION_LIST = 204;
        WIPE_WRITE_PERM_OF_BROKER = 205;
        GET_ALL_TOPIC_LIST_FROM_NAMESERVER = 206;
        DELETE_SUBSCRIPTIONGROUP = 207;
        GET_CONSUME_STATS = 208;
        DELETE_TOPIC_IN_BROKER = 215;
        DELETE_TOPIC_IN_NAMESRV = 216;
        GET_KVLIST_BY_NAMESPACE = 219;
        RESET_CONSUMER_CLIENT_OFFSET = 220;
        GET_CONSUMER_STATUS_FROM_CLIENT = 221;
        INVOKE_BROKER_TO_RESET_OFFSET = 222;
        INVOKE_BROKER_TO_GET_CONSUMER_STATUS = 223;
        GET_TOPICS_BY_CLUSTER = 224;
        UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST = 225;
        QUERY_TOPIC_CONSUME_BY_WHO = 300;
        QUERY_CONSUME_TIME_SPAN = 303;
        GET_SYSTEM_TOPIC_LIST_FROM_NS = 304;
        GET_SYSTEM_TOPIC_LIST_FROM_BROKER = 305;
        CLEAN_EXPIRED_CONSUMEQUEUE = 306;
        GET_CONSUMER_RUNNING_INFO = 307;
        CONSUME_MESSAGE_DIRECTLY = 309;
        SEND_MESSAGE_V2 = 310;
        CLONE_GROUP_OFFSET = 314;
        VIEW_BROKER_STATS_DATA = 315;
        CLEAN_UNUSED_TOPIC = 316;
        GET_BROKER_CONSUME_STATS = 317;
        UPDATE_NAMESRV_CONFIG = 318;
        GET_NAMESRV_CONFIG = 319;
        SEND_BATCH_MESSAGE = 320;
        QUERY_CONSUME_QUEUE = 321;
        SEND_REPLY_MESSAGE = 324;
        SEND_REPLY_MESSAGE_V2 = 325;
        PUSH_REPLY_MESSAGE_TO_CLIENT = 326;
        ADD_WRITE_PERM_OF_BROKER = 327;
        GET_ALL_PRODUCER_INFO = 328;
        DELETE_EXPIRED_COMMITLOG = 329;
        QUERY_TOPICS_BY_CONSUMER = 343;
        QUERY_SUBSCRIPTION_BY_CONSUMER = 345;
        GET_TOPIC_CONFIG = 351;
        GET_SUBSCRIPTIONGROUP_CONFIG = 352;
        LITE_PULL_MESSAGE = 361;
        RECALL_MESSAGE = 370;
        SET_MESSAGE_REQUEST_MODE = 401;
        TIMER_LIST = PRIVATE + 1;
        TIMER_SHOW = PRIVATE + 2;
        TIMER_CANCEL = PRIVATE + 3;
        TIMER_FORECAST = PRIVATE + 4;
        GROUP_PROGRESS = PRIVATE + 5;
    }
}

/// Codes of answers.
#[allow(missing_docs, reason = "the names are the protocol's own and say what they are")]
pub mod response {
    names! {
        SUCCESS = 0;
        SYSTEM_ERROR = 1;
        SYSTEM_BUSY = 2;
        REQUEST_CODE_NOT_SUPPORTED = 3;
        MESSAGE_ILLEGAL = 13;
        SERVICE_NOT_AVAILABLE = 14;
        NO_PERMISSION = 16;
        TOPIC_NOT_EXIST = 17;
        PULL_NOT_FOUND = 19;
        PULL_RETRY_IMMEDIATELY = 20;
        PULL_OFFSET_MOVED = 21;
        QUERY_NOT_FOUND = 22;
        SUBSCRIPTION_PARSE_FAILED = 23;
        SUBSCRIPTION_NOT_EXIST = 24;
        SUBSCRIPTION_NOT_LATEST = 25;
        SUBSCRIPTION_GROUP_NOT_EXIST = 26;
        INVALID_PARAMETER = 29;
        CONSUMER_NOT_ONLINE = 206;
        CONSUME_MSG_TIMEOUT = 207;
        BROADCAST_CONSUMPTION = 213;
        ILLEGAL_OPERATION = 604;
    }
}

/// Bit of `flag` that marks an answer.
pub const FLAG_RESPONSE: i32 = 1;
/// Bit of `flag` that marks a request nobody answers.
pub const FLAG_ONE_WAY: i32 = 2;

/// Version that this server announces: RocketMQ 5.3.3, high enough for every client's feature gates.
pub const SERVER_VERSION: i32 = 479;
/// First version whose consumers can be sent to another offset while they run (3.0.7).
pub const VERSION_CLIENT_RESET: i32 = 28;
/// First version whose consumers tell how they are, and consume a message on request (3.1.8).
pub const VERSION_RUNNING_INFO: i32 = 62;
/// First version whose clients honour and send a limit of their own with a failed message (3.4.9).
pub const VERSION_CLIENT_ATTEMPTS_MAX: i32 = 121;
/// First version that reads quoted broker ids in routes by itself (4.9.4).
pub const VERSION_STANDARD_JSON: i32 = 401;
