//! A terminal that is no window: what a program draws on it, and keys that it reads.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::unix::ffi::OsStrExt,
    process::{Child, Command, ExitStatus},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcgetattr, tcsetwinsize},
};

/// How long to wait for something to be on the screen.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Terminal {
    keyboard: File,
    /// What programs have open.
    device: File,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    pub fn new(rows: u16, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let device = OpenOptions::new().read(true).write(true).open(OsStr::from_bytes(name.as_bytes())).unwrap();
        let keyboard = File::from(master);
        let (mut screen, written) = (keyboard.try_clone().unwrap(), Arc::<Mutex<Vec<u8>>>::default());
        let all = written.clone();
        // It ends when the terminal is closed.
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count) = screen.read(&mut bytes) {
                all.lock().unwrap().extend(&bytes[..count]);
            }
        });
        let terminal = Self { keyboard, device, written };
        terminal.resize(rows, columns);
        terminal
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.keyboard, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    }

    pub fn spawn(&self, command: &mut Command) -> Child {
        let device = || self.device.try_clone().unwrap();
        command.stdin(device()).stdout(device()).stderr(device()).spawn().unwrap()
    }

    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// How the terminal treats lines, echo and signals.
    pub fn modes(&self) -> String {
        let modes = tcgetattr(&self.device).unwrap();
        format!("{:?} {:?} {:?} {:?}", modes.input_modes, modes.output_modes, modes.control_modes, modes.local_modes)
    }

    /// Everything that was written to it.
    pub fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    /// Waits until the screen is as wanted, and gives it.
    pub fn wait_for(&self, wanted: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let screen = screen(&self.written());
            if wanted(&screen) {
                return screen;
            }
            assert!(begun.elapsed() < PATIENCE, "this stays on the screen:\n{screen}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// What is on the screen after all that was written: characters at their places, for the few sequences that are in use.
fn screen(written: &str) -> String {
    let mut cells = BTreeMap::<usize, BTreeMap<usize, char>>::new();
    let (mut row, mut column) = (1, 1);
    let mut characters = written.chars();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' => {
                let Some('[') = characters.next() else { continue };
                let mut parameters = String::new();
                let last = characters.by_ref().find(|next| {
                    let ends = next.is_ascii_alphabetic();
                    parameters.extend((!ends).then_some(*next));
                    ends
                });
                let mut numbers = parameters.split(';').map(|number| number.parse().unwrap_or(1));
                match last {
                    Some('H') => (row, column) = (numbers.next().unwrap_or(1), numbers.next().unwrap_or(1)),
                    Some('J') => cells.clear(),
                    _ => {}
                }
            }
            '\r' => column = 1,
            '\n' => row += 1,
            character => {
                cells.entry(row).or_default().insert(column, character);
                column += 1;
            }
        }
    }
    let line = |cells: &BTreeMap<usize, char>| -> String {
        (1..=cells.keys().max().copied().unwrap_or(0)).map(|at| cells.get(&at).copied().unwrap_or(' ')).collect()
    };
    let rows = 1..=cells.keys().max().copied().unwrap_or(0);
    rows.map(|row| cells.get(&row).map(line).unwrap_or_default() + "\n").collect()
}

/// How it ended.
pub fn ended(child: &mut Child) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        thread::sleep(Duration::from_millis(20));
    }
}
