//! `ratatoskr topic` from outside: what it changes, prints and answers.

use crate::server::Server;

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn a_topic_lives_and_dies() {
    let server = Server::in_memory();
    let created = server
        .run("topic create orders --partitions 3 retention_ms=2h")
        .text();
    assert_eq!(
        json(&created)["partitions"].as_array().map(Vec::len),
        Some(3)
    );
    assert_eq!(json(&created)["config"]["retention_ms"], "7200000");

    let listed = json(&server.run("topic ls").text());
    assert_eq!(
        (
            &listed["name"],
            &listed["partitions"],
            &listed["retention_ms"]
        ),
        (&"orders".into(), &3.into(), &7_200_000.into())
    );
    let altered = json(&server.run("topic alter orders compression=zstd").text());
    assert_eq!(altered["config"]["compression"], "zstd");
    assert_eq!(altered["config"]["retention_ms"], "7200000");
    let grown = json(&server.run("topic add-partitions orders 5").text());
    assert_eq!(grown["partitions"].as_array().map(Vec::len), Some(5));

    server.run("topic rm orders -y").text();
    assert_eq!(server.run("topic ls").text(), "");
    let error = server.run("topic describe orders").failure(3);
    assert!(error.contains("error[unknown_topic]: there is no topic named orders"));
    assert!(error.contains("try: ratatoskr topic create orders"));
}

#[test]
fn what_is_trimmed_is_gone() {
    let server = Server::in_memory();
    server.run("topic create t --partitions 1").text();
    server.run_with("produce t", b"0\n1\n2\n3\n").bytes();
    server.run("topic trim t 0 2 -y").text();
    let read = server.run("consume t --until-end -f %o:%v\\n").text();
    assert_eq!(read, "2:2\n3:3\n");
    server.run("topic trim t 0 9 -y").failure(3);
    server.run("topic trim t 7 0 -y").failure(3);
}

#[test]
fn destructive_verbs_do_not_go_on_without_a_yes() {
    let server = Server::in_memory();
    server.run("topic create t").text();
    for verb in ["topic rm t", "topic trim t 0 0"] {
        let error = server.run(verb).failure(2);
        assert!(error.contains("nobody is there to ask"), "{error}");
        assert!(error.contains("-y"), "{error}");
    }
    assert!(server.run("topic ls").text().contains("\"t\""));
}

#[test]
fn each_failure_has_its_code() {
    let server = Server::in_memory();
    server.run("topic create t").text();
    for (words, code, expected) in [
        ("topic create t", 4, "topic_exists"),
        ("topic create a/b", 2, "not a topic name"),
        ("topic create _rt.x", 2, "internal_topic"),
        ("topic create u --partitions 0", 2, "partitions"),
        (
            "topic create u --partitions 10001",
            1,
            "partitions_per_topic_max",
        ),
        (
            "topic create u retention=7d",
            2,
            "did you mean `retention_ms`",
        ),
        ("topic create u retention_ms=7w", 2, "a duration such as 7d"),
        ("topic create u durability=fsync", 2, "unsupported"),
        ("topic alter t", 2, "SETTING=VALUE"),
        ("topic alter nowhere compression=lz4", 3, "unknown_topic"),
        ("topic add-partitions t 0", 2, "partitions"),
        ("topic rm nowhere -y", 3, "unknown_topic"),
        ("topic rm t nowhere -y", 7, "unknown_topic"),
    ] {
        let error = server.run(words).failure(code);
        assert!(error.contains(expected), "{words}: {error}");
    }
}

#[test]
fn tables_are_for_people_and_json_is_for_programs() {
    let server = Server::in_memory();
    server.run("topic create a --partitions 2").text();
    server.run("topic create b retention_ms=none").text();
    let table = server.run("topic ls --output table").text();
    assert_eq!(
        table,
        "NAME  PARTITIONS  DURABILITY  RETENTION\n\
         a              2  memory             7d\n\
         b              1  memory              -\n"
    );
    let lines = server.run("topic ls").text();
    assert_eq!(lines.lines().count(), 2);
    let document = json(&server.run("topic ls --output json").text());
    assert_eq!(document.as_array().map(Vec::len), Some(2));
}

/// What the broker keeps for itself is seen by who asks for it, and changed by nobody.
#[test]
fn internal_topics_are_shown_when_asked_for_and_left_alone() {
    let server = Server::in_memory();
    server.run("topic create orders --partitions 1").text();
    server.run("queue create work").text();
    let names = |words: &str| {
        let lines = server.run(words).text();
        let names = lines.lines().map(|line| json(line)["name"].clone());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names("topic ls"), ["orders"]);
    assert_eq!(names("topic ls --internal"), ["_rt.queues", "orders"]);
    for (words, listed) in [("", 1), (" --internal", 2)] {
        let document = server.run(&format!("topic ls{words} --output json"));
        let document = json(&document.text());
        assert_eq!(document.as_array().map(Vec::len), Some(listed));
        let table = server.run(&format!("topic ls{words} --output table"));
        assert_eq!(table.text().lines().count(), 1 + listed);
    }

    let described = json(&server.run("topic describe _rt.queues").text());
    assert_eq!(described["internal"], true);
    let own = json(&server.run("topic describe orders").text());
    assert_eq!(own["internal"], false);
    let people = server.run("topic describe _rt.queues --output table");
    let people = people.text();
    assert!(people.lines().next().unwrap().contains("internal"));

    for words in [
        "topic rm _rt.queues -y",
        "topic alter _rt.queues retention_ms=1h",
        "topic add-partitions _rt.queues 17",
        "topic trim _rt.queues 0 0 -y",
        "queue take work _rt.queues",
    ] {
        let error = server.run(words).failure(2);
        assert!(error.contains("internal_topic"), "{words}: {error}");
    }
    let error = server.run_with("produce _rt.queues", b"x\n").failure(2);
    assert!(error.contains("internal_topic"), "{error}");
}
