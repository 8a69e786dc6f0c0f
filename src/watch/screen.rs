//! The terminal while a run is watched. It is left as it was found, however this ends.

use std::{
    io,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError},
    thread,
    time::{Duration, Instant},
};

use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event},
};

use super::{
    draw::{Theme, draw},
    source::Source,
    ui::{Ui, Wish},
    view::{Update, View},
};

/// How often the source is asked.
const LOOK: Duration = Duration::from_millis(500);
/// How soon a key is answered at the latest, and how often one looks whether to stop.
const BLINK: Duration = Duration::from_millis(100);

/// Shows a run until whoever watches has seen enough, or `stop` says so.
///
/// # Errors
/// The terminal cannot be used, or those of `stop`.
pub fn show(source: Source, theme: Theme, stop: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut view = View::new(source.to_string());
    let ((news, _looking), keys) = (look(source)?, listen()?);
    // Puts it back in a panic, too.
    let mut terminal = ratatui::try_init()?;
    let shown = watch(&mut terminal, &mut view, (&news, &keys), theme, stop);
    // A terminal that is gone cannot be restored.
    let restored = ratatui::try_restore();
    shown?;
    Ok(restored?)
}

/// Waits for keys, on a thread of its own that ends with the process: where the terminal is gone, reading never returns.
fn listen() -> io::Result<Receiver<io::Result<Event>>> {
    let (send, keys) = mpsc::channel();
    thread::Builder::new().name("keys".into()).spawn(move || while send.send(event::read()).is_ok() {})?;
    Ok(keys)
}

/// Asks the source again and again, on a thread of its own, as it may be slow; until the second value is dropped.
fn look(mut source: Source) -> io::Result<(Receiver<Vec<Update>>, Sender<()>)> {
    let ((send, news), (goes_on, over)) = (mpsc::channel(), mpsc::channel());
    let looking = move || {
        while send.send(source.news()).is_ok() {
            if over.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    };
    thread::Builder::new().name("watch".into()).spawn(looking)?;
    Ok((news, goes_on))
}

fn watch(
    terminal: &mut DefaultTerminal,
    view: &mut View,
    (news, keys): (&Receiver<Vec<Update>>, &Receiver<io::Result<Event>>),
    theme: Theme,
    stop: impl Fn() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (mut ui, mut waiting, mut changed) = (Ui::default(), Vec::new(), true);
    let mut drawn = Instant::now();
    loop {
        stop()?;
        loop {
            match news.try_recv() {
                Ok(more) => waiting.extend(more),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => anyhow::bail!("whoever looked at the run is gone"),
            }
        }
        if !ui.paused && !waiting.is_empty() {
            waiting.drain(..).for_each(|update| view.apply(update));
            ui.follow(view);
            changed = true;
        }
        if changed || drawn.elapsed() > LOOK * 4 {
            terminal.draw(|frame| draw(frame, view, &ui, theme))?;
            (changed, drawn) = (false, Instant::now());
        }
        match keys.recv_timeout(BLINK) {
            Ok(event) => match event? {
                Event::Key(key) if ui.press(key, view) == Wish::Quit => return Ok(()),
                Event::Key(_) | Event::Resize(..) => changed = true,
                _ => {}
            },
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the keyboard cannot be read any more"),
        }
    }
}
