//! `worker_processes auto`: how many workers this machine, or this container, is for.
//!
//! nginx counts the CPUs of the host. In a container that is limited to half a
//! CPU of 128 it starts 128 workers. Here the tightest bound wins: CPUs online,
//! affinity mask, cpuset, ceil(quota / period) of each cgroup up the tree, and
//! pids.max - 2 (the master, and one to spare); at least one.
//!
//! Each controller may live in the v1 or the v2 tree, mounted anywhere
//! (cgroups(7), proc_pid_mountinfo(5)); the mount's root field says which part of
//! the tree the mount shows. Without /proc only the first two bounds are known.

use std::fmt;
use std::path::{Path, PathBuf};

/// A number of workers, and what it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Auto {
    pub workers: usize,
    pub bound: Bound,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bound {
    Online,
    Affinity,
    Cpuset,
    Quota,
    Pids,
}

impl fmt::Display for Auto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = match self.bound {
            Bound::Online => "CPUs online",
            Bound::Affinity => "the affinity mask",
            Bound::Cpuset => "the cpuset",
            Bound::Quota => "the cgroup's CPU quota",
            Bound::Pids => "the cgroup's pids.max",
        };
        write!(f, "{} (bound by {bound})", self.workers)
    }
}

/// `allowed` is the count of CPUs in our mask, as far as they are online and in our cpuset: the
/// kernel tells it so.
pub fn workers(allowed: usize) -> Auto {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let list = read(Path::new("/sys/devices/system/cpu/online"));
    let online = list.and_then(|list| listed(list.trim())).unwrap_or(allowed);
    tightest(online, allowed, &Cgroups::new(&read))
}

fn tightest(online: usize, allowed: usize, cgroups: &Cgroups) -> Auto {
    let bounds = [
        (Bound::Online, Some(online)),
        (Bound::Affinity, Some(allowed)),
        (Bound::Cpuset, cgroups.cpuset()),
        (Bound::Quota, cgroups.quota()),
        (Bound::Pids, cgroups.pids().map(|most| most.saturating_sub(2))),
    ];
    let known = bounds.into_iter().filter_map(|(bound, count)| Some((bound, count?)));
    // Of equal ones the first is named: the plainest.
    let (bound, count) = known.min_by_key(|(_, count)| *count).unwrap_or((Bound::Online, 1));
    Auto { workers: count.max(1), bound }
}

/// The control groups of this process, as /proc and the mounts show them.
struct Cgroups<'a> {
    read: &'a dyn Fn(&Path) -> Option<String>,
    membership: String,
    mounts: String,
}

impl<'a> Cgroups<'a> {
    fn new(read: &'a dyn Fn(&Path) -> Option<String>) -> Self {
        let proc = |name: &str| read(&Path::new("/proc/self").join(name)).unwrap_or_default();
        Self { read, membership: proc("cgroup"), mounts: proc("mountinfo") }
    }

    /// ceil(quota / period): of all groups up the tree the smallest.
    fn quota(&self) -> Option<usize> {
        let groups = self.folders("cpu").into_iter();
        groups.filter_map(|folder| self.quota_v2(&folder).or_else(|| self.quota_v1(&folder))).min()
    }

    fn quota_v2(&self, folder: &Path) -> Option<usize> {
        let text = (self.read)(&folder.join("cpu.max"))?;
        let (quota, period) = text.trim().split_once(' ')?;
        cpus(quota.parse().ok()?, period.parse().ok()?)
    }

    fn quota_v1(&self, folder: &Path) -> Option<usize> {
        cpus(
            self.number(folder.join("cpu.cfs_quota_us"))?,
            self.number(folder.join("cpu.cfs_period_us"))?,
        )
    }

    fn pids(&self) -> Option<usize> {
        let groups = self.folders("pids").into_iter();
        groups.filter_map(|folder| self.number(folder.join("pids.max"))).min()
    }

    /// Of the innermost group that says it: the kernel has applied the outer ones already.
    fn cpuset(&self) -> Option<usize> {
        const NAMES: [&str; 3] = ["cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"];
        self.folders("cpuset").into_iter().find_map(|folder| {
            NAMES.iter().find_map(|name| listed((self.read)(&folder.join(name))?.trim()))
        })
    }

    fn number(&self, path: PathBuf) -> Option<usize> {
        (self.read)(&path)?.trim().parse().ok()
    }

    /// The folders of a controller's groups, from our own up to the mount; v1 and v2.
    fn folders(&self, controller: &str) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        for group in self.membership.lines().filter_map(Group::parse) {
            if !group.v2 && !has(group.controllers, controller) {
                continue;
            }
            let serves = |mount: &Mount| mount.serves(group.v2, controller);
            if let Some(mount) = self.mounts.lines().filter_map(Mount::parse).find(serves) {
                let own = mount.folder(group.path);
                let up = own.ancestors().take_while(|folder| folder.starts_with(&mount.point));
                folders.extend(up.map(Path::to_path_buf));
            }
        }
        folders
    }
}

/// A line of /proc/self/cgroup: `4:cpu,cpuacct:/path`, and `0::/path` for v2.
struct Group<'a> {
    v2: bool,
    controllers: &'a str,
    path: &'a str,
}

impl<'a> Group<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Self { v2: number == "0" && controllers.is_empty(), controllers, path })
    }
}

/// A line of /proc/self/mountinfo: `32 31 0:29 ROOT POINT rw,relatime … - TYPE SOURCE OPTIONS`.
struct Mount<'a> {
    root: String,
    point: PathBuf,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (unescaped(fields.next()?), unescaped(fields.next()?));
        let mut fields = system.split(' ');
        let (kind, options) = (fields.next()?, fields.nth(1)?);
        Some(Self { root, point: point.into(), kind, options })
    }

    fn serves(&self, v2: bool, controller: &str) -> bool {
        match v2 {
            true => self.kind == "cgroup2",
            false => self.kind == "cgroup" && has(self.options, controller),
        }
    }

    /// Where the group `path` is seen. A path outside the mount's root (another cgroup
    /// namespace) is one we cannot see: the mount itself is the nearest.
    fn folder(&self, path: &str) -> PathBuf {
        let below = Path::new(path).strip_prefix(&self.root).unwrap_or(Path::new(""));
        let hidden = below.components().any(|part| part == std::path::Component::ParentDir);
        if hidden { self.point.clone() } else { self.point.join(below) }
    }
}

fn has(list: &str, word: &str) -> bool {
    list.split(',').any(|entry| entry == word)
}

/// Blanks and backslashes of a path stand in mountinfo as `\040`.
fn unescaped(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => text.extend([char::from(byte)].into_iter().chain(part[3..].chars())),
            None => text.extend(["\\", part]),
        }
    }
    text
}

/// No quota is "max" or -1: neither parses as a count.
fn cpus(quota: usize, period: usize) -> Option<usize> {
    (period > 0).then(|| quota.div_ceil(period))
}

/// How many CPUs a list like `0-3,8` names; an empty one says nothing.
fn listed(list: &str) -> Option<usize> {
    let mut count = 0usize;
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        count += last.saturating_add(1).checked_sub(first)?;
    }
    (count > 0).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";

    fn check(files: &[(&str, &str)], expected: (usize, Bound)) {
        let read = |path: &Path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_owned())
        };
        let auto = tightest(8, 8, &Cgroups::new(&read));
        assert_eq!((auto.workers, auto.bound), expected, "{files:?}");
    }

    #[test]
    fn without_cgroups_the_mask_decides() {
        check(&[], (8, Bound::Online));
        let none = Cgroups::new(&|_| None);
        assert_eq!(tightest(8, 3, &none), Auto { workers: 3, bound: Bound::Affinity });
        assert_eq!(tightest(0, 0, &none).workers, 1);
    }

    #[test]
    fn the_tightest_quota_up_the_tree_counts() {
        let v2 = |own: &'static str, outer: &'static str, expected| {
            let files = [
                ("/proc/self/cgroup", "0::/pod/box\n"),
                ("/proc/self/mountinfo", V2),
                ("/sys/fs/cgroup/pod/box/cpu.max", own),
                ("/sys/fs/cgroup/pod/cpu.max", outer),
            ];
            check(&files, expected);
        };
        v2("250000 100000\n", "max 100000\n", (3, Bound::Quota));
        v2("max 100000\n", "50000 100000\n", (1, Bound::Quota));
        v2("400000 100000\n", "150000 100000\n", (2, Bound::Quota));
        v2("max 100000\n", "max 100000\n", (8, Bound::Online));
        v2("100000 0\n", "garbage\n", (8, Bound::Online));
    }

    #[test]
    fn a_mount_shows_a_part_of_the_tree() {
        let mounts = "1 2 0:5 /docker/abc /cg\\040root/cpu rw - cgroup none rw,cpu,cpuacct\n\
                      3 2 0:6 /docker/abc /cg/pids rw master:1 - cgroup none rw,pids\n";
        let files = [
            ("/proc/self/cgroup", "4:cpu,cpuacct:/docker/abc/in\n3:pids:/docker/abc\n0::/\n"),
            ("/proc/self/mountinfo", mounts),
            ("/cg root/cpu/in/cpu.cfs_quota_us", "-1\n"),
            ("/cg root/cpu/cpu.cfs_quota_us", "350000\n"),
            ("/cg root/cpu/cpu.cfs_period_us", "100000\n"),
            ("/cg/pids/pids.max", "5\n"),
        ];
        check(&files, (3, Bound::Pids));
        check(&files[..5], (4, Bound::Quota));
    }

    #[test]
    fn a_group_out_of_sight_is_the_mount() {
        let files = [
            ("/proc/self/cgroup", "0::/../../elsewhere\n"),
            ("/proc/self/mountinfo", V2),
            ("/sys/fs/cgroup/cpu.max", "200000 100000\n"),
            ("/sys/fs/cgroup/cpuset.cpus.effective", "0-2,6\n"),
        ];
        check(&files, (2, Bound::Quota));
        check(&[files[0], files[1], files[3]], (4, Bound::Cpuset));
    }

    #[test]
    fn lists_of_cpus() {
        for (list, count) in
            [("0", Some(1)), ("0-3,8", Some(5)), ("", None), ("3-1", None), ("x", None)]
        {
            assert_eq!(listed(list), count, "{list}");
        }
    }
}
