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
    Device,
    Endpoint,
    EndpointCounters,
    Flow,
    FragmentKey,
    FragmentPorts,
    GroupCounters,
    GroupLatencies,
    Histogram,
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
    Tuple,
    Uplink,
);
