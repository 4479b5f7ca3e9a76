//! The same containers with other engines, each on a host of its own.

use std::path::Path;

use anyhow::{Context, Result};
use beeline_testbed::command::text;
use beeline_testbed::{CLIENT_ADDRESS, HOST_ADDRESS};

use super::ways::{IMAGE, PORT, Place, Server, Way, address, serve};
use crate::bench::peer::{self, Engine, Peers, inspect, process_of};
use crate::progress::note;

/// An engine with two containers, of which one publishes its port, and the server outside.
struct Pair {
    name: &'static str,
    host: Place,
    outside: Place,
    client: Place,
    address: String,
    _server: Server,
}

/// Those that run here.
pub(super) struct Rivals {
    pairs: Vec<Pair>,
    /// Ends with the containers in it, after their places.
    _peers: Peers,
}

impl Rivals {
    /// Starts the engines with images of this archive.
    pub(super) fn start(image: &Path, busybox: &Path, load: &Path) -> Self {
        let peers = Peers::start(busybox);
        let mut pairs = Vec::new();
        for engine in &peers.present {
            match Pair::start(engine.as_ref(), image, load) {
                Ok(pair) => pairs.push(pair),
                Err(error) => note(&format!("{} cannot take part: {error:#}", engine.name())),
            }
        }
        Self { pairs, _peers: peers }
    }

    pub(super) fn to_a_published_port(&self) -> Result<Vec<Way>> {
        self.ways(|pair| (&pair.outside, HOST_ADDRESS))
    }

    pub(super) fn by_loopback(&self) -> Result<Vec<Way>> {
        self.ways(|pair| (&pair.host, "127.0.0.1"))
    }

    pub(super) fn between_containers(&self) -> Result<Vec<Way>> {
        self.ways(|pair| (&pair.client, &pair.address))
    }

    pub(super) fn to_the_outside(&self) -> Result<Vec<Way>> {
        self.ways(|pair| (&pair.client, CLIENT_ADDRESS))
    }

    fn ways<'a>(&'a self, ends: impl Fn(&'a Pair) -> (&'a Place, &'a str)) -> Result<Vec<Way>> {
        let way = |pair: &'a Pair| {
            let (from, to) = ends(pair);
            Ok(Way { name: pair.name, from: from.clone(), to: address(to, PORT)? })
        };
        self.pairs.iter().map(way).collect()
    }
}

impl Pair {
    fn start(engine: &dyn Engine, image: &Path, load: &Path) -> Result<Self> {
        let topology = engine.topology();
        let server = serve(&topology.client, load)?;
        peer::import(engine, image, IMAGE)?;
        let run = |options: &[&str]| -> Result<(Place, String)> {
            let options: Vec<&str> = ["--detach"].iter().chain(options).copied().collect();
            let command = ["/load", "load", "serve", &format!("0.0.0.0:{PORT}")];
            let id = text(&mut peer::run(engine, &options, IMAGE, &command))?;
            let inspected = inspect(engine, &id)?;
            let networks = inspected["NetworkSettings"]["Networks"].as_object();
            let address = networks.and_then(|networks| networks.values().next()?["IPAddress"].as_str());
            let address = address.context("the container has no address")?.to_owned();
            Ok((Place::of_process(process_of(&inspected)?), address))
        };
        let (_, address) = run(&["--publish", &format!("{PORT}:{PORT}")])?;
        let (client, _) = run(&[])?;
        let (host, outside) = (Place::of(&topology.host), Place::of(&topology.client));
        Ok(Self { name: engine.name(), host, outside, client, address, _server: server })
    }
}
