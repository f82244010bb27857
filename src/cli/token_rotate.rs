//! `rollcall token rotate`: moves the card in a reader, or a whole fleet card by card, to the new CA, or to the new key
//! of its set.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    args::TokenRotateArgs,
    confirm::{confirm, short},
    context::terminal_context,
    interrupt::Interrupt,
    pki::set_rotation_view,
    printer::Printer,
    service::{ServiceOutage, warn_of_readers},
    views,
};
use crate::{
    config::Settings,
    failure::{ExitClass, Failure, number_of},
    terminal::{
        administration::{
            RotationTarget,
            fleet::{FleetEnd, FleetEvent, FleetLimits, FleetObserver, FleetRun},
            rotation_run::{Move, RotationGoal, RotationRun},
        },
        readers::one_reader,
    },
};

/// Runs the command.
///
/// # Errors
/// `pki.…` when no rotation is in progress; that of the keys, the reader or the card; `confirm.…`; that of the output.
pub fn run(args: &TokenRotateArgs, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let terminal = terminal_context(settings);
    let goal = RotationGoal::load(&terminal.pki, args.set)?;
    if args.all && args.dry_run {
        return show(&goal, out).map(|()| 0);
    }
    let mut rotation = RotationRun::open(terminal, goal)?;
    if args.all {
        return fleet(args, &mut rotation, settings, out);
    }
    let reader = one_reader(&settings.readers, settings.limits.exchange)?;
    let found = rotation.find(&reader)?;
    if let (RotationTarget::Old(id), false) = (found, args.dry_run) {
        confirm(settings, out, &format!("this moves the token {id} to {}", words(rotation.goal())), &short(id))?;
    }
    let (id, result) = match found {
        RotationTarget::Old(id) if args.dry_run => (id, views::TokenChanged::Planned),
        RotationTarget::Moved(id) if args.dry_run => (id, views::TokenChanged::Unchanged),
        RotationTarget::Old(id) | RotationTarget::Moved(id) => {
            let moved = rotation.rotate(&reader, Some(id))?;
            (moved.token_id, result(moved))
        }
    };
    out.object(&object(reader, Some(id), Some(result), None))?;
    Ok(0)
}

fn words(goal: &RotationGoal) -> String {
    match goal {
        RotationGoal::Ca(_) => "the new CA".to_owned(),
        RotationGoal::Set(rotation) => format!("the set {}", rotation.to.id),
    }
}

fn show(goal: &RotationGoal, out: &mut Printer) -> Result<(), Failure> {
    match goal {
        RotationGoal::Ca(rotation) => out.object(&views::RotationState {
            schema: views::Schema::default(),
            tokens: goal.tokens(),
            done: rotation.done.len(),
            left: rotation.left.iter().copied().collect(),
        }),
        RotationGoal::Set(rotation) => out.object(&set_rotation_view(rotation, false)),
    }
}

/// Card after card, until all are done, no more are presented, or too many fail in a row.
fn fleet(
    args: &TokenRotateArgs,
    rotation: &mut RotationRun,
    settings: &Settings,
    out: &mut Printer,
) -> Result<u8, Failure> {
    let left = rotation.goal().left();
    if left > 0 {
        let to = words(rotation.goal());
        let what = format!("this moves every card that is put on a reader to {to} ({left} are left)");
        confirm(settings, out, &what, "rotate")?;
    }
    let limits = FleetLimits { failures: args.max_failures, quiet: args.timeout };
    let mut fleet = FleetRun::new(rotation, settings.readers.clone(), limits);
    let stopper = fleet.stopper();
    let signal = Interrupt::install(move || stopper.stop())?;
    fleet.watch()?;
    out.begin::<views::RotationView>()?;
    warn_of_readers(&settings.readers, out);
    let end = fleet.run(&mut FleetPrinter { out, outage: ServiceOutage::default() })?;
    out.progress_end();
    conclude(end, rotation.goal(), signal.exit_status(), out)
}

/// Prints the progress of the rotation.
struct FleetPrinter<'a> {
    out: &'a mut Printer,
    outage: ServiceOutage,
}

impl FleetObserver for FleetPrinter<'_> {
    fn event(&mut self, event: FleetEvent, goal: &RotationGoal) -> Result<(), Failure> {
        match event {
            FleetEvent::Free => {
                let (left, all) = (goal.left(), goal.tokens());
                self.out.work("put the next card on", (all - left) as u64, all as u64);
                Ok(())
            }
            FleetEvent::ServiceLost => {
                self.outage.begin(self.out);
                Ok(())
            }
            FleetEvent::ServiceAway(failure) => {
                self.outage.go_on(&failure, self.out);
                Ok(())
            }
            FleetEvent::Moved { reader, moved } => {
                self.out.item(&object(reader, Some(moved.token_id), Some(result(moved)), None))
            }
            FleetEvent::Failed { reader, failure } => self.out.item(&object(reader, None, None, Some(&failure))),
        }
    }

    fn is_closed(&self) -> bool {
        self.out.is_closed()
    }
}

fn conclude(end: FleetEnd, goal: &RotationGoal, signal: Option<u8>, out: &mut Printer) -> Result<u8, Failure> {
    let FleetEnd { left, has_failed } = end;
    if left == 0 {
        out.note(&match goal {
            RotationGoal::Ca(_) => {
                "every token has the new CA: end the rotation with rollcall pki rotate-ca --finish".to_owned()
            }
            RotationGoal::Set(set) => {
                format!(
                    "every token has the new key: destroy the old one with rollcall pki rotate-set {} --finish",
                    set.from
                )
            }
        });
        return Ok(0);
    }
    let message = format!("{} left", number_of(left, "token"));
    if let Some(signal) = signal {
        out.note(&message);
        return Ok(signal);
    }
    let code = if has_failed { "batch.too-many-failures" } else { "batch.incomplete" };
    Err(Failure::new(ExitClass::No, code, message).hint("run the same command again: it resumes where it stopped"))
}

const fn result(moved: Move) -> views::TokenChanged {
    if moved.was_old { views::TokenChanged::Done } else { views::TokenChanged::Unchanged }
}

fn object(
    reader: String,
    token_id: Option<Uuid>,
    result: Option<views::TokenChanged>,
    failed: Option<&Failure>,
) -> views::RotationView {
    views::RotationView {
        schema: views::Schema::default(),
        at: Timestamp::now().into(),
        reader,
        token_id,
        result,
        error: failed.map(Failure::to_json),
    }
}
