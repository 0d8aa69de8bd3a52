use super::*;
use crate::cpu::HostSys;

const IDS: &[&str] = &["irq.move", "mm.thp"];

fn error(text: &str) -> String {
    Profile::parse(text, "/etc/corelane/tuning.toml", IDS)
        .unwrap_err()
        .to_string()
}

#[test]
fn every_key_is_read() {
    let profile = Profile::parse(
        "data_dir = \"/srv/data\"\nnic = \"ens1f0\"\nnet_mode = \"per-shard\"\nmax_shards = 8\n\
         smt = \"off\"\nboost = \"on\"\nnohz = true\ngroups = [\"A\"]\nskip = [\"mm.thp\"]\n\
         net.rx_usecs = 8\n",
        "own",
        IDS,
    )
    .unwrap();
    let expected = Profile {
        name: "own".to_owned(),
        data_dir: Some(PathBuf::from("/srv/data")),
        nic: Some("ens1f0".to_owned()),
        net_mode: NetMode::PerShard,
        max_shards: Some(8),
        smt: Smt::Off,
        boost: Boost::On,
        nohz: true,
        net: Net { rx_usecs: Some(8) },
        groups: vec![Group::A],
        skip: vec!["mm.thp".to_owned()],
    };
    assert_eq!(profile, expected);
}

#[test]
fn errors_name_file_line_key_and_what_is_allowed() {
    for (text, parts) in [
        (
            "nohz = false\nsmt = \"halve\"\n",
            ["line 2: smt:", "`halve`", "`park` or `off`"],
        ),
        (
            "# one\n\ncolour = 3\n",
            ["line 3: colour:", "unknown field", "`data_dir`"],
        ),
        (
            "[net]\nrx_usecs = \"8\"\n",
            ["line 2: rx_usecs:", "string", "u32"],
        ),
        (
            "[net]\nrx_usecs = 5000\n",
            ["line 2: rx_usecs:", "5000", "0 to 1000"],
        ),
        (
            "max_shards = 0\n",
            ["line 1: max_shards:", "0", "allowed: 1 to"],
        ),
        (
            "nohz = false\nskip = [\"irq.mvoe\"]\n",
            ["line 2: skip:", "irq.mvoe", "irq.move, mm.thp"],
        ),
        (
            "data_dir = \"data\"\n",
            ["line 1: data_dir:", "data", "starts with /"],
        ),
        (
            "nic = \"eth0/../..\"\n",
            ["line 1: nic:", "no interface", "/sys/class/net"],
        ),
        (
            "groups = [\"A\", \"D\"]\n",
            ["line 1: groups:", "`D`", "`A`, `B`, `C`, `R`"],
        ),
        ("smt = \n", ["line 1: smt:", "tuning.toml", ""]),
    ] {
        let error = error(text);
        for part in parts {
            assert!(error.contains(part), "{text}\n{error}\nlacks {part}");
        }
    }
}

#[test]
fn an_unknown_profile_lists_the_known_ones() {
    let folder = tempfile::tempdir().unwrap();
    let sys = HostSys::new(folder.path());
    let error = Profile::find(Some("desktop"), &sys, IDS).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown profile desktop; known: laptop, metal, vm, or the path of a file"
    );
    let error = Profile::find(Some("./desktop.toml"), &sys, IDS).unwrap_err();
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

#[test]
fn a_file_is_known_by_a_name_that_holds_in_every_folder() {
    let folder = tempfile::tempdir().unwrap();
    let sys = HostSys::new(folder.path());
    // Tests run in the package's folder.
    let named = "tuning/profiles/vm.toml";
    let ids = crate::tuning::check::ids(crate::tuning::knobs::KNOBS);
    let profile = Profile::find(Some(named), &sys, &ids).unwrap();
    let expected = std::env::current_dir().unwrap().join(named);
    assert_eq!(profile.name, expected.to_string_lossy());
    assert_eq!(
        Profile::find(Some(&profile.name), &sys, &ids).unwrap(),
        profile
    );
}

#[test]
fn shipped_profiles_name_knobs_that_there_are() {
    let ids = crate::tuning::check::ids(crate::tuning::knobs::KNOBS);
    for (name, text) in SHIPPED {
        Profile::parse(text, name, &ids).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn without_a_name_the_host_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let sys = HostSys::new(folder.path());
    assert_eq!(Profile::find(None, &sys, IDS).unwrap().name, "metal");
    sys.put_file("/proc/cpuinfo", "flags\t\t: fpu hypervisor avx\n", 0o644)
        .unwrap();
    assert_eq!(Profile::find(None, &sys, IDS).unwrap().name, "vm");
    sys.put_file(PROFILE_PATH, "max_shards = 3\n", 0o644)
        .unwrap();
    let own = Profile::find(None, &sys, IDS).unwrap();
    assert_eq!((own.name.as_str(), own.max_shards), (PROFILE_PATH, Some(3)));
}
