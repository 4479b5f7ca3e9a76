//! Answers as a real daemon sends them survive being read and written: no field is lost, no null becomes an
//! absence, no name is spelt differently.
#![forbid(unsafe_code)]

use beeline_wire::container::create::CreateRequest;
use beeline_wire::container::inspect::ContainerInspect;
use beeline_wire::container::summary::ContainerSummary;
use beeline_wire::event::Event;
use beeline_wire::image::{DeletedImage, HistoryItem, ImageInspect, ImageSummary};
use beeline_wire::message::JsonMessage;
use beeline_wire::network::Network;
use beeline_wire::system::info::Info;
use beeline_wire::system::version::VersionResponse;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn survives<T: Serialize + DeserializeOwned>(json: &str) {
    let recorded: Value = serde_json::from_str(json).expect("the recording is JSON");
    let understood: T = serde_json::from_value(recorded.clone()).expect("the recording is understood");
    let written = serde_json::to_value(&understood).expect("what was understood can be written");
    let differences = differences("", &recorded, &written);
    assert!(differences.is_empty(), "{differences:#?}");
}

/// Where two values differ, for a message one can read.
fn differences(path: &str, left: &Value, right: &Value) -> Vec<String> {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let names: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
            names
                .into_iter()
                .flat_map(|name| match (left.get(name), right.get(name)) {
                    (Some(left), Some(right)) => differences(&format!("{path}.{name}"), left, right),
                    (Some(_), None) => vec![format!("{path}.{name} is lost")],
                    (None, _) => vec![format!("{path}.{name} is new")],
                })
                .collect()
        }
        (left, right) if left == right => Vec::new(),
        (left, right) => vec![format!("{path}: {left} became {right}")],
    }
}

#[test]
fn container_inspect() {
    survives::<ContainerInspect>(include_str!("data/container-inspect.json"));
}

#[test]
fn container_list() {
    survives::<Vec<ContainerSummary>>(include_str!("data/container-list.json"));
}

#[test]
fn container_create() {
    survives::<CreateRequest>(include_str!("data/container-create.json"));
}

#[test]
fn nulls_in_a_request_are_zero_values() {
    let request: CreateRequest = serde_json::from_str(
        r#"{"Image":"x","Hostname":null,"ExposedPorts":null,"Tty":null,"HostConfig":{"Memory":null,
           "LogConfig":null,"RestartPolicy":null,"PortBindings":null},"NetworkingConfig":null}"#,
    )
    .unwrap();
    assert_eq!(request.host_config, Default::default());
    let request: CreateRequest = serde_json::from_str(r#"{"Image":"x","HostConfig":null}"#).unwrap();
    assert_eq!(request.config.image, "x");
}

#[test]
fn images() {
    survives::<ImageInspect>(include_str!("data/image-inspect.json"));
    survives::<Vec<ImageSummary>>(
        r#"[{"Containers":-1,"Created":1700000000,"Id":"sha256:aa","Labels":null,"ParentId":"","RepoDigests":[],
            "RepoTags":["web:latest"],"SharedSize":-1,"Size":77}]"#,
    );
    survives::<Vec<HistoryItem>>(
        r#"[{"Comment":"","Created":1700000000,"CreatedBy":"CMD","Id":"sha256:aa","Size":0,"Tags":["web:latest"]},
            {"Comment":"","Created":1700000000,"CreatedBy":"ADD","Id":"<missing>","Size":7,"Tags":null}]"#,
    );
    survives::<Vec<DeletedImage>>(r#"[{"Untagged":"web:latest"},{"Deleted":"sha256:aa"}]"#);
}

#[test]
fn networks() {
    survives::<Vec<Network>>(include_str!("data/network-list.json"));
}

#[test]
fn system() {
    survives::<VersionResponse>(include_str!("data/version.json"));
    survives::<Info>(include_str!("data/info.json"));
}

#[test]
fn streams() {
    survives::<Event>(
        r#"{"status":"die","id":"ab","from":"debian:12","Type":"container","Action":"die",
            "Actor":{"ID":"ab","Attributes":{"exitCode":"0","image":"debian:12","name":"web"}},
            "scope":"local","time":1700000000,"timeNano":1700000000123456789}"#,
    );
    survives::<Event>(
        r#"{"Type":"network","Action":"connect","Actor":{"ID":"cd","Attributes":{"container":"ab","type":"bridge"}},
            "scope":"local","time":1700000000,"timeNano":1700000000123456789}"#,
    );
    survives::<JsonMessage>(r#"{"stream":"Loaded image: web:latest\n"}"#);
    survives::<JsonMessage>(
        r#"{"status":"Loading layer","progressDetail":{"current":1,"total":2},"id":"ab"}"#,
    );
    survives::<JsonMessage>(r#"{"errorDetail":{"message":"no"},"error":"no"}"#);
}
