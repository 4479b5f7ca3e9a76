use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::*;
use crate::container::config::ContainerConfig;

pub(super) fn record(digit: &str, name: &str) -> Record {
    Record {
        id: digit.repeat(64).try_into().unwrap(),
        name: name.parse().unwrap(),
        created: Timestamp::UNIX_EPOCH,
        image_id: "sha256:x".into(),
        os: "linux".into(),
        config: Arc::new(ContainerConfig { image: "x".into(), ..ContainerConfig::default() }),
        networks: BTreeMap::new(),
        mounts: None,
    }
}

#[tokio::test]
async fn what_is_written_is_read_by_the_next_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("beeline.db");
    let opened = Opened::open(&path).unwrap();
    opened.set_meta("id", "one").unwrap();
    opened.set_meta("id", "two").unwrap();
    let database = opened.start().unwrap();
    let (first, second) = (record("a", "first"), record("b", "second"));
    let mut runtime = Runtime::default();
    database.put(&first, &runtime).await.unwrap();
    database.put(&second, &runtime).await.unwrap();
    database.put(&record("c", "first"), &runtime).await.unwrap_err();
    runtime.status.exit_code = 3;
    database.put_runtime(&first.id, &runtime).await.unwrap();
    database.remove(&second.id).await.unwrap();

    let next = Opened::open(&path).unwrap();
    assert_eq!(next.meta("id").unwrap().as_deref(), Some("two"));
    assert_eq!(next.meta("other").unwrap(), None);
    assert_eq!(next.containers().unwrap(), [(first, runtime)]);
}

#[test]
fn a_newer_schema_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("beeline.db");
    Opened::open(&path).unwrap().connection.pragma_update(None, "user_version", 99).unwrap();
    let error = Opened::open(&path).unwrap_err().to_string();
    assert!(error.contains("newer Beeline"), "{error}");
}
