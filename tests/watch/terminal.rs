//! A terminal that is no window: what a program draws on it, and keys that it reads.

use std::{
    ffi::OsStr,
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::unix::ffi::OsStrExt,
    process::{Child, Command, ExitStatus},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcgetattr, tcsetwinsize},
};
use vt100::Parser;

/// How long to wait for something to be on the screen, or for an end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal with one program on it, which is ended with the test.
pub struct Terminal {
    keyboard: File,
    /// What the program has open.
    device: File,
    modes_before: String,
    drawn: Arc<Mutex<Parser>>,
    program: Child,
}

impl Terminal {
    pub fn run(command: &mut Command, rows: u16, columns: u16) -> Self {
        // Other tests start programs meanwhile, which must not inherit it.
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let device = OpenOptions::new().read(true).write(true).open(OsStr::from_bytes(name.as_bytes())).unwrap();
        let keyboard = File::from(master);
        let drawn = Arc::new(Mutex::new(Parser::new(rows, columns, 0)));
        let (mut written, parser) = (keyboard.try_clone().unwrap(), drawn.clone());
        // It ends when the terminal is closed.
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count) = written.read(&mut bytes) {
                parser.lock().unwrap().process(&bytes[..count]);
            }
        });
        tcsetwinsize(&keyboard, size(rows, columns)).unwrap();
        let modes_before = modes(&device);
        let end = || device.try_clone().unwrap();
        let program = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        Self { keyboard, device, modes_before, drawn, program }
    }

    fn drawn(&self) -> MutexGuard<'_, Parser> {
        self.drawn.lock().unwrap()
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        let mut drawn = self.drawn();
        drawn.screen_mut().set_size(rows, columns);
        tcsetwinsize(&self.keyboard, size(rows, columns)).unwrap();
    }

    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen is as wanted, and gives its text.
    pub fn wait_for(&self, wanted: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let text = self.drawn().screen().contents();
            if wanted(&text) {
                return text;
            }
            assert!(begun.elapsed() < PATIENCE, "this stays on the screen:\n{text}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// How the program ended.
    pub fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.program.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asserts that lines, echo, signals, screen and cursor are as the program found them.
    pub fn is_as_it_was(&self) {
        assert_eq!(modes(&self.device), self.modes_before);
        self.wait_for(|text| text.trim().is_empty());
        let drawn = self.drawn();
        assert!(!drawn.screen().alternate_screen(), "the other screen was not left");
        assert!(!drawn.screen().hide_cursor(), "the cursor is hidden");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn modes(device: &File) -> String {
    let modes = tcgetattr(device).unwrap();
    format!("{:?} {:?} {:?} {:?}", modes.input_modes, modes.output_modes, modes.control_modes, modes.local_modes)
}
