use serde_json::json;

use super::*;

fn series(unit: &str, goals: &str) -> Series {
    let text = format!(
        r#"
        name = "os"
        durability = "os"
        conditions = "none"
        x_name = "topics"
        x = [1, 1000]
        [[figure]]
        of = "rate"
        unit = "{unit}"
        goals = [{goals}]
        "#
    );
    toml::from_str(&text).unwrap()
}

fn sample(ours: f64, floor: f64, by_peer_client: f64, redis: f64) -> Sample {
    Sample {
        ours: json!({"rate": ours}),
        floors: vec![Some(floor)],
        ours_by_peer_client: Some(json!({"rate": by_peer_client})),
        peers: [(Peer::Redis, json!({"rate": redis}))].into(),
    }
}

fn verdicts(results: &[PointResult]) -> Vec<String> {
    let goals = results.iter().flat_map(|result| {
        let goals = result.goals.iter();
        goals.map(|goal| format!("{}: {} {:?}", result.x, goal.goal, goal.verdict))
    });
    goals.collect()
}

#[test]
fn ratios_are_taken_within_repetitions() {
    let samples = vec![
        sample(10.0, 20.0, 8.0, 4.0),
        sample(30.0, 30.0, 9.0, 3.0),
        sample(50.0, 200.0, 10.0, 10.0),
    ];
    let results = evaluate(&series("records_per_second", ""), &[(1, Ok(samples))]);
    let result = &results[0];
    assert_eq!(result.result, Spread::of(&[10.0, 30.0, 50.0]));
    assert_eq!(result.floor, Spread::of(&[20.0, 30.0, 200.0]));
    // 0.5, 1 and 0.25; the quotient of the medians would be 1.
    assert_eq!(result.ratio_to_floor, Some(0.5));
    let redis = &result.peers[&Peer::Redis];
    assert_eq!((redis.ratio, redis.ours.median), (2.0, 9.0));
    assert!(!result.peers.contains_key(&Peer::Nats));
    assert_eq!(
        (result.repetitions, result.verdict),
        (3, Verdict::NotMeasured)
    );
}

#[test]
fn goals_are_judged_as_the_unit_has_it() {
    let goals = r#"
        { to = "floor", limit = 0.4 }, { to = "redis", limit = 4.0 }, { to = "one", limit = 25.0 },
        { to = "base", limit = 0.9, from = 1000, base = 1 }
    "#;
    let points = [
        (1, Ok(vec![sample(30.0, 60.0, 30.0, 10.0)])),
        (1000, Ok(vec![sample(20.0, 60.0, 50.0, 10.0)])),
    ];
    let results = evaluate(&series("records_per_second", goals), &points);
    assert_eq!(
        verdicts(&results),
        [
            "1: ≥ 0.4 × floor Met",
            "1: ≥ 4 × Redis Missed",
            "1: ≥ 25.0/s Met",
            "1000: ≥ 0.4 × floor Missed",
            "1000: ≥ 4 × Redis Met",
            "1000: ≥ 25.0/s Missed",
            "1000: ≥ 0.9 × at 1 topics Missed",
        ]
    );
    let lower = r#"{ to = "floor", limit = 1.15, until = 1 }, { to = "nats", limit = 0.8 }"#;
    let points = [(1, Ok(vec![sample(11.0, 10.0, 1.0, 1.0)]))];
    let results = evaluate(&series("us", lower), &points);
    assert_eq!(
        verdicts(&results),
        ["1: ≤ 1.15 × floor Met", "1: ≤ 0.8 × NATS NotMeasured"]
    );
    assert_eq!(results[0].verdict, Verdict::Met);
}

#[test]
fn a_point_that_failed_says_why_and_meets_nothing() {
    let goal = r#"{ to = "one", limit = 1.0 }"#;
    let broken = Sample {
        ours: json!({"speed": 1}),
        ..Sample::default()
    };
    let points = [
        (1, Err(anyhow::anyhow!("cause").context("no server"))),
        (1000, Ok(vec![broken])),
    ];
    let results = evaluate(&series("records_per_second", goal), &points);
    assert_eq!(results[0].problem.as_deref(), Some("no server: cause"));
    assert_eq!(results[1].problem.as_deref(), Some("an answer has no rate"));
    for result in &results {
        assert!(result.result.is_none());
        assert_eq!(result.verdict, Verdict::NotMeasured);
    }
}

#[test]
fn a_long_list_in_an_answer_is_not_kept() {
    let answer = json!({
        "rate": 1.0,
        "topic": {"name": "idle", "partitions": vec![0; 10_000]},
        "sizes": [1, 2, 3],
    });
    let kept = without_long_lists(&answer);
    let expected = json!({"rate": 1.0, "topic": {"name": "idle"}, "sizes": [1, 2, 3]});
    assert_eq!(kept, expected);
}
