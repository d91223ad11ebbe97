use super::scenario::play;

macro_rules! scenario {
    ($(#[$doc:meta])* $name:ident, $script:literal) => {
        $(#[$doc])*
        #[test]
        fn $name() {
            insta::assert_snapshot!(stringify!($name), play($script));
        }
    };
}

scenario!(
    a_partition_moves_only_when_it_has_been_given_up,
    "
    topic x 4
    join a topics=x
    beat a
    join b topics=x
    # b reads nothing until a has given it up
    beat b
    show
    busy a
    beat b
    # a keeps x/0 and x/1 throughout
    beat a
    beat b
    beat a
    show
    "
);

scenario!(
    a_member_that_does_not_give_up_in_time_is_expelled,
    "
    topic x 2
    join a topics=x timeout=10s
    beat a
    join b topics=x
    busy a
    wait 9s
    busy a
    beat b
    wait 1s
    beat b
    busy a
    "
);

scenario!(
    a_silent_member_is_expelled_and_may_join_anew,
    "
    topic x 2
    join a topics=x
    beat a
    join b topics=x
    beat a
    beat a
    beat b
    wait 44s
    beat b
    wait 1s
    beat a
    commit a x/0=5
    beat b
    join a topics=x
    show
    "
);

scenario!(
    a_member_that_leaves_hands_over_at_once,
    "
    topic x 3
    join a topics=x
    join b topics=x
    beat a
    beat a
    beat b
    leave a
    beat b
    leave b
    show
    leave b
    "
);

scenario!(
    a_static_member_comes_back_to_what_it_had,
    "
    topic x 4
    join a topics=x instance=one
    join b topics=x instance=two
    beat a
    beat a
    beat b
    away a
    # nobody takes what a had
    beat b
    show
    # another process has the same instance id
    join a2 topics=x instance=one
    beat b
    show
    # while it is there, nobody else may have it
    join a3 topics=x instance=one
    beat a
    away a2
    wait 44s
    beat b
    # and when it does not come back, it is gone
    wait 1s
    beat b
    "
);

scenario!(
    /// What it held as the member it was goes to others.
    a_member_that_takes_a_static_members_place_leaves_its_own,
    "
    topic x 3
    join a topics=x
    join b topics=x instance=one
    away b
    join a topics=x instance=one
    restart
    show
    "
);

scenario!(
    only_a_static_member_leaves_for_a_while,
    "
    topic x 1
    join a topics=x
    away a
    show
    "
);

scenario!(
    an_answer_that_was_lost_fences_nobody,
    "
    topic x 2
    join a topics=x
    beat a
    join b topics=x
    beat a
    # a has epoch 2 by now, and does not know it
    lost a
    beat a
    beat b
    "
);

scenario!(
    a_member_with_an_old_epoch_is_fenced,
    "
    topic x 2
    join a topics=x
    join a topics=x
    commit a@1 x/0=5
    commit a@9 x/0=5
    commit a x/0=5
    offsets
    "
);

scenario!(
    who_lost_a_partition_cannot_commit_for_it,
    "
    topic x 2
    join a topics=x
    beat a
    commit a x/0=10 x/1=10
    join b topics=x
    busy a
    # what it still reads it may commit, also while it gives it up
    commit a x/1=11
    beat a
    beat b
    # x/1 is b's: all or nothing is committed
    commit a x/0=12 x/1=12
    commit b x/1=20
    offsets
    commit c x/0=1
    offsets
    "
);

scenario!(
    new_partitions_and_new_topics_are_given_out,
    "
    topic x 1
    join a topics=x,y
    beat a
    topic x 3
    beat a
    topic y 1
    wait 1s
    beat a
    beat a
    "
);

scenario!(
    a_topic_that_is_made_anew_is_another_topic,
    "
    topic x 1
    join a topics=x
    beat a
    commit a x/0=5
    drop x
    wait 1s
    beat a
    beat a
    topic x 1
    wait 1s
    beat a
    beat a
    offsets
    expire
    offsets
    "
);

scenario!(
    members_read_what_they_asked_for,
    "
    topic x 2
    topic y 2
    join a topics=x
    join b topics=x,y
    beat a
    beat b
    beat a topics=y
    beat a
    beat b
    beat b
    beat a
    show
    "
);

scenario!(
    the_assignor_that_most_want_is_taken,
    "
    topic x 4
    join a topics=x assignor=uniform
    beat a
    join b topics=x
    show
    leave a
    show
    "
);

scenario!(
    a_restart_changes_nothing,
    "
    topic x 4
    join a topics=x instance=one
    beat a
    join b topics=x
    busy a
    commit a x/0=7 metadata=m
    restart
    show
    offsets
    # nobody is expelled for the time that the broker was down
    wait 44s
    beat a
    beat b
    show
    "
);

scenario!(
    somebody_who_is_no_member_commits_to_a_group_without_members,
    "
    topic x 2
    commit - x/0=3 x/1=4 metadata=mine
    show
    offsets
    join a topics=x
    commit - x/0=9
    forget x/0
    delete
    leave a
    commit - x/0=9
    forget x/1
    offsets
    delete
    show
    delete
    forget x/0
    "
);

scenario!(
    metadata_has_a_limit,
    "
    topic x 1
    commit - x/0=1 metadata=sixteen_letters_
    commit - x/0=2 metadata=seventeen_letters
    offsets
    "
);

scenario!(
    offsets_stay_for_a_week_after_the_last_use,
    "
    topic x 1
    join a topics=x
    commit a x/0=5
    wait 1s
    leave a
    wait 168h
    expire
    offsets
    wait 1s
    expire
    offsets
    commit - x/0=1
    wait 100h
    commit - x/0=2
    wait 168h
    expire
    offsets
    wait 1s
    expire
    offsets
    "
);

scenario!(
    a_pattern_takes_in_topics_as_they_come_and_go,
    "
    topic orders-eu 2
    topic other 2
    join a pattern=orders-.*
    beat a
    topic orders-us 2
    beat a
    # By name and by pattern: each partition goes to one of both
    join b topics=other pattern=^orders.*
    beat a
    beat b
    beat a
    beat b
    show
    drop orders-us
    beat a
    beat b
    beat a
    beat b
    restart
    topic orders-asia 1
    beat b
    beat a
    beat b
    show
    "
);

scenario!(
    /// Who reads a topic by a pattern goes on from what is committed, as one that names it does.
    what_is_read_by_a_pattern_is_not_forgotten,
    "
    topic orders-eu 1
    topic other 1
    commit - orders-eu/0=3 other/0=4
    join a pattern=orders-.*
    beat a
    forget orders-eu/0
    forget other/0
    offsets
    "
);

scenario!(
    /// An empty list, or an empty pattern, takes back what was wanted; none at all changes nothing.
    what_is_wanted_changes_by_name_and_by_pattern,
    "
    topic x 1
    topic y 1
    join a
    join a topics= pattern=
    join a topics=x
    beat a
    beat a topics= pattern=y
    beat a
    beat a
    beat a topics=x
    beat a
    beat a pattern=
    beat a
    beat a topics=
    beat a
    show
    "
);
