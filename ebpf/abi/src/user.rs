//! The layouts as values of maps, for the user side.

macro_rules! plain_data {
    ($($name:ident),* $(,)?) => {
        $(
            // SAFETY: repr(C), of integers only, and all padding is a named field.
            unsafe impl aya::Pod for crate::$name {}
        )*
    };
}

plain_data!(
    AcceleratedEnd,
    AcceleratedSocket,
    Address,
    Begun,
    Conversation,
    Device,
    Dropped,
    Endpoint,
    EndpointCounters,
    Flow,
    FragmentKey,
    FragmentPorts,
    GroupCounters,
    GroupLatencies,
    Histogram,
    Listening,
    LocalAddress,
    Member,
    MemberKey,
    Network,
    Original,
    PolicyKey,
    PortKey,
    Publish,
    PublishCounters,
    Resolver,
    Rule,
    SocketKey,
    SocketPair,
    Traffic,
    Tuple,
    Uplink,
);
