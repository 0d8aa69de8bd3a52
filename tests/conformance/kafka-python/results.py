"""Prints what the tests of a JUnit report came to: state, name, seconds and reason, by tabs."""

import sys
import xml.etree.ElementTree


def main():
    for case in xml.etree.ElementTree.parse(sys.argv[1]).getroot().iter("testcase"):
        # "test.integration.test_ssl.TestSsl" and "test_handshake[1]"
        file = next(part for part in case.get("classname").split(".") if part.startswith("test_"))
        name = "{}::{}".format(file, case.get("name"))
        state, reason = "passed", ""
        for kind, its_state in (("skipped", "skipped"), ("failure", "failed"), ("error", "failed")):
            found = case.find(kind)
            if found is not None:
                state, reason = its_state, (found.get("message") or "")[:300]
        seconds = "{:.1f}".format(float(case.get("time", "0")))
        print(state, name, seconds, " ".join(reason.split()), sep="\t")


if __name__ == "__main__":
    main()
