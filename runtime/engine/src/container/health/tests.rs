use rstest::rstest;

use super::*;

fn check(test: &[&str]) -> Healthcheck {
    Healthcheck { test: test.iter().map(ToString::to_string).collect(), ..Healthcheck::default() }
}

fn settings(check: Healthcheck) -> Option<Settings> {
    Settings::of(&ContainerConfig { healthcheck: Some(check), ..ContainerConfig::default() })
}

/// A probe, at a time of day that says nothing: somebody may have set the clock.
fn probe(exit_code: i64) -> Probe {
    Probe { start: Timestamp::MAX, end: Timestamp::MIN, exit_code, output: String::new() }
}

/// Runs probes with these exit codes, a second apart, and tells the status after each.
fn statuses(check: Healthcheck, codes: &[i64]) -> Vec<&'static str> {
    let settings = settings(check).unwrap();
    let mut health = Health::starting();
    let take = |(second, code): (u64, &i64)| {
        health.take(probe(*code), &settings, Duration::from_secs(second));
        health.status.as_str()
    };
    (1..).zip(codes).map(take).collect()
}

#[test]
fn failures_in_a_row_make_it_unhealthy_and_one_success_healthy() {
    let check = Healthcheck { retries: 2, ..check(&["CMD", "x"]) };
    assert_eq!(
        statuses(check, &[1, 0, 1, 0, 1, -1, 7, 0]),
        ["starting", "healthy", "healthy", "healthy", "healthy", "unhealthy", "unhealthy", "healthy"]
    );
}

#[test]
fn it_may_become_unhealthy_without_ever_having_been_healthy() {
    assert_eq!(statuses(check(&["CMD", "x"]), &[1, 1, 1]), ["starting", "starting", "unhealthy"]);
}

#[test]
fn failures_in_the_start_period_do_not_count_until_the_first_success() {
    let check = Healthcheck { retries: 1, start_period: 4_000_000_000, ..check(&["CMD", "x"]) };
    assert_eq!(
        statuses(check.clone(), &[1, 1, 1, 1]),
        ["starting", "starting", "starting", "unhealthy"],
        "the fourth is after the period"
    );
    assert_eq!(statuses(check, &[1, 0, 1]), ["starting", "healthy", "unhealthy"]);
}

#[test]
fn the_last_five_are_remembered() {
    let settings = settings(check(&["CMD", "x"])).unwrap();
    let mut health = Health::starting();
    for code in 0..8 {
        health.take(probe(code), &settings, Duration::ZERO);
    }
    assert_eq!(health.log.iter().map(|probe| probe.exit_code).collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
    assert_eq!(health.failing_streak, 7);
    assert_eq!(health.stopped().status, HealthStatus::Unhealthy);
}

#[test]
fn probes_are_nearer_to_each_other_while_it_starts() {
    let check =
        Healthcheck { start_period: 20_000_000_000, interval: 60_000_000_000, ..check(&["CMD", "x"]) };
    let settings = settings(check).unwrap();
    let pause = |status, age| settings.pause(status, Duration::from_secs(age)).as_secs();
    assert_eq!(pause(HealthStatus::Starting, 0), 5);
    assert_eq!(pause(HealthStatus::Healthy, 0), 60);
    assert_eq!(pause(HealthStatus::Starting, 20), 60);
}

#[rstest]
#[case(&["CMD", "a", "b c"], &["a", "b c"])]
#[case(&["CMD-SHELL", "a || b"], &["/bin/sh", "-c", "a || b"])]
#[case(&["NONE"], &[])]
#[case(&["CMD"], &[])]
#[case(&[], &[])]
fn tests_are_dockers(#[case] test: &[&str], #[case] argv: &[&str]) {
    // Nothing to execute is nothing to probe.
    assert_eq!(settings(check(test)).map(|settings| settings.argv).unwrap_or_default(), argv);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let text = |check: Healthcheck| validate(&check).unwrap_err().to_string();
    let short = Healthcheck { interval: 999_999, ..check(&["CMD", "x"]) };
    assert_eq!(text(short), "Interval in Healthcheck cannot be less than 1ms");
    let negative = Healthcheck { retries: -1, ..check(&["CMD", "x"]) };
    assert_eq!(text(negative), "Retries in Healthcheck cannot be negative");
    assert!(text(check(&["HTTP", "x"])).starts_with("Unknown healthcheck type 'HTTP'"));
    validate(&check(&["NONE"])).unwrap();
}

#[test]
fn the_image_fills_in_what_the_user_left_open() {
    let image = Healthcheck { interval: 5, retries: 9, ..check(&["CMD", "image"]) };
    let mut ours = Some(Healthcheck { retries: 2, ..Healthcheck::default() });
    merge(&mut ours, Some(image.clone()));
    assert_eq!(ours, Some(Healthcheck { interval: 5, retries: 2, ..check(&["CMD", "image"]) }));
    let mut none = Some(check(&["NONE"]));
    merge(&mut none, Some(image.clone()));
    assert_eq!(none.unwrap().test, ["NONE"]);
    let mut open = None;
    merge(&mut open, Some(image.clone()));
    assert_eq!(open, Some(image));
}
