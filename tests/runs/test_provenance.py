from qwen_bench.runs.provenance import host_hash, package_versions, tool_info


def test_the_host_is_told_apart_but_not_named():
    import socket

    assert len(host_hash()) == 12
    assert socket.gethostname() not in host_hash()


def test_versions_of_installed_packages_are_found():
    assert "numpy" in package_versions()


def test_the_tool_knows_its_version():
    assert tool_info().version
