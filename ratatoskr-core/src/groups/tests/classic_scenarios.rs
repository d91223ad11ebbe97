//! What classic groups promise, told by example.

use super::classic::play;

/// Two members, of which the first leads, in generation 1.
const TWO: &str = "
    join a with=old protocols=range:wants-a
    join b with=old protocols=range:wants-b
    wait 6s
    sync b
    sync a a=1 b=2
";

fn after_two(script: &str) -> String {
    play(&format!("{TWO}{script}"))
}

#[test]
fn the_first_member_waits_for_others_and_assigns() {
    insta::assert_snapshot!(play(
        "
        join a
        join a
        show
        wait 2s
        join b
        join b
        # The wait is prolonged once, for the one who came.
        wait 1s
        wait 3s
        beat a
        sync b
        sync a a=1 b=2
        show
        beat b
        # Who asks again is told again.
        sync b
        "
    ));
}

#[test]
fn members_that_come_all_the_time_are_not_waited_for_forever() {
    insta::assert_snapshot!(play(
        "
        join a with=old timeout=5s
        wait 2s
        join b with=old timeout=5s
        wait 2s
        join c with=old timeout=5s
        wait 2s
        "
    ));
}

#[test]
fn a_member_that_joins_has_the_others_join_anew() {
    insta::assert_snapshot!(after_two(
        "
        join c with=old
        show
        beat a
        join a
        commit b x/0=5
        join b
        # c has joined, and does not know yet what it reads.
        sync c
        beat c
        commit c x/0=6
        sync a a=1 b=2 c=3
        sync b
        commit c x/0=6
        commit c@1 x/0=7
        offsets
        "
    ));
}

#[test]
fn who_does_not_join_in_time_is_out() {
    insta::assert_snapshot!(after_two(
        "
        join c with=old session=25s
        wait 5s
        beat a
        beat b
        join b
        wait 5s
        beat a
        # Ten seconds of silence.
        wait 10s
        beat a
        "
    ));
}

#[test]
fn a_leader_that_dies_is_replaced() {
    insta::assert_snapshot!(after_two(
        "
        wait 6s
        beat b
        wait 4s
        beat b
        join b
        sync b b=all
        show
        "
    ));
}

#[test]
fn a_leader_that_never_assigns_is_expelled() {
    insta::assert_snapshot!(play(
        "
        join a with=old session=30s timeout=20s
        join b with=old session=30s timeout=20s
        wait 6s
        sync b
        wait 19s
        wait 1s
        join b
        beat a
        "
    ));
}

#[test]
fn a_member_that_leaves_is_not_waited_for() {
    insta::assert_snapshot!(after_two(
        "
        leave a
        show
        join b
        sync b b=all
        leave b
        show
        leave b
        join a with=old
        "
    ));
}

#[test]
fn an_id_that_nobody_joins_with_holds_nobody_up_for_long() {
    insta::assert_snapshot!(after_two(
        "
        join c session=8s
        show
        join d with=old session=30s
        join a
        join b
        wait 7s
        wait 1s
        "
    ));
}

#[test]
fn the_protocol_that_all_know_and_most_like_is_taken() {
    insta::assert_snapshot!(play(
        "
        join a with=old protocols=range:1,sticky:2
        join b with=old protocols=sticky:3,range:4
        join c with=old protocols=sticky:5,range:6,own:7
        join d with=old protocols=own:8
        join d with=old protocols=sticky:9 type=other
        wait 9s
        sync a a=- b=- c=-
        show
        "
    ));
}

#[test]
fn what_a_member_wants_may_change() {
    insta::assert_snapshot!(after_two(
        "
        # Nothing new: the same generation.
        join b protocols=range:wants-b
        sync b
        join b protocols=range:more
        beat a
        join a protocols=range:wants-a
        sync a a=1 b=22
        sync b
        # The leader joins again to have the group rebalanced.
        join a protocols=range:wants-a
        beat b
        "
    ));
}

#[test]
fn a_static_member_comes_back_to_what_it_had() {
    insta::assert_snapshot!(play(
        "
        join a instance=i protocols=range:x
        join b instance=j protocols=range:y
        wait 6s
        sync a a=1 b=2
        sync b
        # The next life of b, while the earlier one still is there.
        join c instance=j protocols=range:y
        sync c
        beat b
        commit b x/0=1
        commit c x/0=2
        beat a
        # The leader is back, too; it need not assign, or cannot know that.
        join d instance=i protocols=range:x
        sync d
        join e with=old instance=i protocols=range:x
        show
        restart
        show
        beat e
        "
    ));
}

#[test]
fn a_static_member_that_stays_away_is_expelled() {
    insta::assert_snapshot!(play(
        "
        join a instance=i session=20s
        join b instance=j session=20s
        wait 6s
        sync a a=1 b=2
        sync b
        wait 10s
        beat a
        wait 10s
        beat a
        join a instance=i session=20s
        leave instance=i
        leave instance=i
        show
        "
    ));
}

#[test]
fn an_earlier_life_is_fenced_wherever_it_waits() {
    insta::assert_snapshot!(play(
        "
        join a instance=i
        join b instance=i
        wait 3s
        sync b b=1
        "
    ));
}

#[test]
fn a_restart_keeps_the_generation_and_its_members() {
    insta::assert_snapshot!(after_two(
        "
        commit a x/1=3
        restart
        show
        beat a
        beat b
        commit b x/0=4
        join c with=old
        restart
        # Who was about to join is not known any more; the others never heard of it.
        show
        beat b
        wait 9s
        beat a
        wait 1s
        show
        offsets
        "
    ));
}

#[test]
fn who_is_no_member_commits_to_a_group_without_members() {
    insta::assert_snapshot!(play(
        "
        commit - x/0=1
        show
        join a with=old
        commit - x/0=2
        wait 3s
        sync a a=1
        commit - x/0=2
        commit a@0 x/0=3
        leave a
        commit - x/0=4
        commit a x/0=5
        offsets
        delete
        commit a x/0=6
        "
    ));
}

#[test]
fn a_group_is_of_one_kind_while_it_has_members() {
    insta::assert_snapshot!(play(
        "
        join a with=old
        wait 3s
        sync a a=1
        commit a x/0=1
        native n topics=x
        delete
        leave a
        # Offsets stay when the kind changes.
        native n topics=x
        show
        join a with=old
        beat a
        offsets
        "
    ));
}

#[test]
fn a_group_can_be_made_of_the_other_kind_and_back() {
    insta::assert_snapshot!(play(
        "
        native n topics=x
        wait 44s
        join a with=old
        wait 1s
        join a with=old
        wait 3s
        sync a a=1
        restart
        show
        "
    ));
}

#[test]
fn what_cannot_be_is_refused() {
    insta::assert_snapshot!(play(
        "
        join a with=id
        join a session=5s
        join a session=1h
        join a protocols=range:x type=
        join a with=old
        wait 3s
        join b with=id
        beat a@7
        leave b
        "
    ));
}

#[test]
fn what_members_say_has_a_limit() {
    let long = "x".repeat(600);
    let shown = play(&format!(
        "
        join a with=old protocols=range:{long}
        join b with=old protocols=range:{long}
        wait 3s
        sync a a={long}
        sync a a=1
        "
    ));
    insta::assert_snapshot!(shown.replace(&long, "(long)"));
}

#[test]
fn an_empty_group_is_deleted_after_a_week() {
    insta::assert_snapshot!(after_two(
        "
        commit a x/0=1
        wait 9s
        expire
        wait 1s
        show
        wait 167h
        expire
        show
        wait 2h
        expire
        show
        "
    ));
}
