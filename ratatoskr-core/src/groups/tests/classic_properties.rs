//! Whatever members do and in whatever order: what a classic group promises them.
//!
//! - members that have what they were assigned in the same generation have different things;
//! - generations never go back;
//! - nobody waits for longer than the timeouts say;
//! - left alone, the group comes to rest with every member in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use proptest::prelude::*;

use super::{
    super::{GroupError, GroupState, InstanceId, JoinGroup, MemberEpoch},
    classic::Stage,
    world::group,
};

const MEMBERS: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    /// Joins, or goes on with what it is at.
    Go {
        member: usize,
    },
    /// Joins with something new that it wants.
    Change {
        member: usize,
    },
    /// Its program is gone without a word, and another one begins.
    Crash {
        member: usize,
    },
    Leave {
        member: usize,
    },
    Beat {
        member: usize,
    },
    Wait {
        seconds: u64,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let member = 0..MEMBERS;
    prop_oneof![
        8 => member.clone().prop_map(|member| Step::Go { member }),
        1 => member.clone().prop_map(|member| Step::Change { member }),
        2 => member.clone().prop_map(|member| Step::Crash { member }),
        2 => member.clone().prop_map(|member| Step::Leave { member }),
        4 => member.prop_map(|member| Step::Beat { member }),
        3 => (1..15_u64).prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Restart),
    ]
}

struct Model {
    stage: Stage,
    /// How often each member has changed its mind.
    wants: BTreeMap<usize, u32>,
    /// The newest generation there was, of those that a restart would not undo.
    newest: i32,
}

fn name(member: usize) -> String {
    format!("m{member}")
}

/// Half of the members are static.
fn instance(member: usize) -> Option<InstanceId> {
    (member % 2 == 1).then(|| InstanceId::parse(&format!("i{member}")).unwrap())
}

impl Model {
    fn new() -> Self {
        Self {
            stage: Stage::new(),
            wants: BTreeMap::new(),
            newest: 0,
        }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Go { member } => self.go(member),
            Step::Change { member } => {
                *self.wants.entry(member).or_default() += 1;
                self.join(member);
            }
            Step::Crash { member } => {
                self.stage.actors.remove(&name(member));
            }
            Step::Leave { member } => {
                let actor = self.stage.actors.remove(&name(member));
                if let Some(id) = actor.and_then(|actor| actor.id) {
                    self.stage.leave(Some(&id), None);
                }
            }
            Step::Beat { member } => self.beat(member),
            Step::Wait { seconds } => self.stage.world.wait(Duration::from_secs(seconds)),
            Step::Restart => {
                self.stage.restart();
                // What was not kept may be given another time.
                self.newest = self.kept();
            }
        }
        self.stage.look();
        self.check();
    }

    fn kept(&self) -> i32 {
        let known = self.stage.world.group();
        known.map_or(0, |known| known.classic.number.get())
    }

    fn go(&mut self, member: usize) {
        let Some(actor) = self.stage.actors.get(&name(member)) else {
            return self.join(member);
        };
        if actor.joining.is_some() || actor.syncing.is_some() {
            return;
        }
        if actor.assigned.is_some() {
            return self.beat(member);
        }
        if actor.generation == 0 {
            return self.join(member);
        }
        // Each member is assigned its own name.
        let assignments = actor.leads.iter().map(|id| {
            let what = Bytes::copy_from_slice(id.as_str().as_bytes());
            (id.clone(), what)
        });
        let assignments = assignments.collect();
        let answer = self.stage.sync(&name(member), assignments);
        if answer.starts_with("refused") {
            self.join(member);
        }
    }

    fn join(&mut self, member: usize) {
        let wants = self.wants.get(&member).copied().unwrap_or_default();
        let name = name(member);
        let actor = self.stage.actors.entry(name.clone()).or_default();
        actor.instance = instance(member);
        actor.assigned = None;
        let mut request = JoinGroup {
            group: group(),
            member: actor.id.clone(),
            instance: instance(member),
            client: name.clone(),
            host: String::new(),
            session_timeout: Duration::from_secs(10),
            rebalance_timeout: Duration::from_secs(20),
            protocol_type: "test".to_owned(),
            protocols: vec![("range".to_owned(), wants.to_string().into())],
            needs_id: true,
            may_skip_assignment: true,
        };
        let answer = self.stage.send_join(&name, &request);
        if answer.starts_with("refused") {
            // It is not known any more, and begins anew.
            request.member = None;
            let actor = self.stage.actors.get_mut(&name).unwrap();
            actor.id = None;
            let answer = self.stage.send_join(&name, &request);
            assert!(!answer.starts_with("refused"), "{answer}");
        }
    }

    fn beat(&mut self, member: usize) {
        let Some(actor) = self.stage.actors.get(&name(member)) else {
            return;
        };
        let (Some(id), None, None) = (&actor.id, &actor.joining, &actor.syncing) else {
            return;
        };
        let (id, instance) = (id.clone(), actor.instance.clone());
        let generation = MemberEpoch::new(actor.generation);
        let now = self.stage.world.now();
        let machine = &mut self.stage.world.machine;
        let beat = machine.beat_classic(&group(), &id, instance.as_ref(), generation, now);
        match beat {
            Ok(()) => {}
            Err(GroupError::RebalanceInProgress(_)) => self.join(member),
            Err(GroupError::FencedMember { .. } | GroupError::UnknownMember { .. }) => {
                self.stage.actors.remove(&name(member));
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn check(&mut self) {
        let mut had = BTreeSet::new();
        for actor in self.stage.actors.values() {
            if let Some(assigned) = &actor.assigned {
                assert!(
                    had.insert((actor.generation, assigned.clone())),
                    "{assigned} is assigned twice in generation {}",
                    actor.generation
                );
            }
        }
        let live = self.stage.world.machine.classic.get(&group());
        if let Some(live) = live {
            let number = live.generation().number.get();
            assert!(number >= self.newest, "the generation went back");
            self.newest = number;
        }
    }

    /// Left alone, the group comes to rest.
    fn come_to_rest(&mut self) {
        for _ in 0..30 {
            for member in 0..MEMBERS {
                self.run(&Step::Go { member });
            }
            self.run(&Step::Wait { seconds: 3 });
        }
        let machine = &self.stage.world.machine;
        let described = machine.classic_description(&group()).unwrap();
        assert_eq!(described.state, GroupState::Stable);
        assert_eq!(described.members.len(), MEMBERS);
        for member in described.members {
            let actor = &self.stage.actors[&member.client];
            let assigned = actor.assigned.as_deref().unwrap();
            assert_eq!(assigned.as_bytes(), &member.assignment[..]);
            assert!(!assigned.is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_history_gives_one_thing_to_two_members(steps in prop::collection::vec(step(), 1..60)) {
        let mut model = Model::new();
        for step in &steps {
            model.run(step);
        }
        model.come_to_rest();
        model.stage.restart();
    }
}

/// The generation in which it has another id was not assigned yet when the broker restarts.
fn is_not_fenced_by_its_earlier_life(until_restart: &[Step]) {
    let mut model = Model::new();
    for step in until_restart {
        model.run(step);
    }
    model.run(&Step::Restart);
    for member in [1, 3] {
        model.run(&Step::Beat { member });
    }
    model.come_to_rest();
}

const fn go(member: usize) -> Step {
    Step::Go { member }
}

const fn wait(seconds: u64) -> Step {
    Step::Wait { seconds }
}

#[test]
fn a_static_member_that_took_over_before_a_restart_is_not_fenced() {
    let crash = Step::Crash { member: 3 };
    is_not_fenced_by_its_earlier_life(&[go(3), wait(3), go(3), go(0), go(0), crash, go(3)]);
}

#[test]
fn a_static_member_that_was_expelled_before_a_restart_is_not_fenced() {
    let steps = [go(1), wait(3), go(1), go(3), wait(10), go(1), go(1), go(3)];
    is_not_fenced_by_its_earlier_life(&steps);
}
