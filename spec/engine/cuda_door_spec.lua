-- Asking for a GPU: one clear line for each thing that may be missing, and `auto`, which asks the
-- driver. The driver and the CUDA half are stand-ins (fake_cuda.c) beside a copy of libfsam.so.
local helper = require("spec.helper")
local quote = helper.quote

local NO_DRIVER = "device cuda: there is no NVIDIA driver here (libcuda.so.1 was not found); use "
  .. "the device cpu"

describe("the door to the CUDA half", function()
  local place

  -- place/libfsam.so, and what Lua needs to find it there.
  setup(function()
    place = helper.temp_dir()
    local build = helper.build_dir()
    local code, _, err = helper.shell(("mkdir -p %s/lua/fsam %s/driver && cp %s/lua/fsam/cdef.lua "
      .. "%s/lua/fsam && cp %s/libfsam.so %s && cc -shared -fPIC -DFAKE_DRIVER "
      .. "-o %s/driver/libcuda.so.1 spec/engine/fake_cuda.c"):format(place, place, quote(build),
        place, quote(build), place, place))
    assert(code == 0, err)
  end)

  teardown(function()
    helper.remove_dir(place)
  end)

  after_each(function()
    os.remove(place .. "/libfsam-cuda.so")
  end)

  local function add_half(version)
    local code, _, err = helper.shell(("cc -shared -fPIC -I. -I%s/include -DFAKE_VERSION=%s "
      .. "-o %s/libfsam-cuda.so spec/engine/fake_cuda.c"):format(quote(helper.build_dir()),
        quote(('"%s"'):format(version)), place))
    assert(code == 0, err)
  end

  -- Opens a device in a process of its own; returns its name and text, or the message.
  local function open(name, environment)
    local env = environment and ("LD_LIBRARY_PATH=%s/driver %s"):format(place, environment)
    local _, out, err = helper.fsam_lua({ env = env, "-e", ([[
      package.path = %q .. "/lua/?.lua;" .. package.path
      local C = require("fsam.C")
      local out = C.ffi.new("fsam_device *[1]")
      if C.lib.fsam_device_open(out, %q) < 0 then
        print(C.ffi.string(C.lib.fsam_error()))
      else
        print(C.ffi.string(C.lib.fsam_device_name(out[0])) .. ", "
          .. C.ffi.string(C.lib.fsam_device_text(out[0])))
        C.lib.fsam_device_close(out[0])
      end]]):format(place, name) })
    assert.equal("", err)
    return (out:gsub("\n$", ""))
  end

  local version = require("fsam.C").ffi.string(require("fsam.C").lib.fsam_version())
  local GOOD = "FAKE_GPUS=1 FAKE_VERSION=13000"

  it("says that there is no driver", function()
    assert.equal(NO_DRIVER, open("cuda"))
    assert.equal("cpu, ", open("auto"))
  end)

  it("says that the driver has no GPU, and what hides it", function()
    assert.equal("device cuda: the NVIDIA driver reports no GPU; use the device cpu",
      open("cuda", "FAKE_INIT=100"))
    assert.equal("device cuda: the NVIDIA driver reports no GPU; use the device cpu",
      open("cuda", "FAKE_GPUS=0"))
    assert.equal("device cuda: the driver reports no GPU, with CUDA_VISIBLE_DEVICES=3 in the "
      .. "environment; unset it, or use the device cpu",
      open("cuda", "FAKE_INIT=100 CUDA_VISIBLE_DEVICES=3"))
    assert.equal("device cuda: the NVIDIA driver does not start (error 999); nvidia-smi may say "
      .. "more; use the device cpu", open("cuda", "FAKE_INIT=999"))
    assert.equal("cpu, ", open("auto", "FAKE_INIT=999"))
  end)

  it("says that this build has no CUDA half", function()
    assert.equal(("device cuda: this build has no CUDA half (%s/libfsam-cuda.so); build it with "
      .. "scripts/setup -DFSAM_CUDA=ON, or use the device cpu"):format(place),
      open("cuda", GOOD))
    assert.equal("cpu, ", open("auto", GOOD))
  end)

  it("says that the half cannot be opened, or is another version's", function()
    helper.write_file(place .. "/libfsam-cuda.so", "not a library")
    assert.matches("^device cuda: the CUDA half cannot be opened: .*libfsam%-cuda%.so: .*; use the "
      .. "device cpu$", open("cuda", GOOD))
    os.remove(place .. "/libfsam-cuda.so")
    add_half("0.0.0")
    assert.equal(("device cuda: %s/libfsam-cuda.so is of another version than libfsam.so; build "
      .. "and install them together"):format(place), open("cuda", GOOD))
  end)

  it("says that the driver is too old", function()
    add_half(version)
    assert.equal("device cuda: the NVIDIA driver is one for CUDA 12.4, this build needs 13.0 or "
      .. "newer; update it, or use the device cpu", open("cuda", "FAKE_GPUS=1 FAKE_VERSION=12040"))
    assert.equal("cpu, ", open("auto", "FAKE_GPUS=1 FAKE_VERSION=12040"))
  end)

  it("opens the GPU, also as auto", function()
    add_half(version)
    assert.equal("cuda, Fake GPU, 1 GB", open("cuda", GOOD))
    assert.equal("cuda, Fake GPU, 1 GB", open("auto", GOOD))
    assert.equal("cpu, ", open("cpu", GOOD))
  end)
end)

describe("scripts/gpu-check", function()
  local place

  -- A machine whose nvidia-smi does this.
  local function gpu_check(smi, arguments, environment)
    helper.write_file(place .. "/nvidia-smi", "#!/bin/sh\n" .. smi .. "\n")
    return helper.shell(("chmod +x %s/nvidia-smi && "
      .. "env %s PATH=%s:$PATH FSAM_BUILD=%s/build OUT=%s "
      .. "scripts/gpu-check %s"):format(place, environment or "", place, place, place, arguments))
  end

  before_each(function()
    place = helper.temp_dir()
  end)

  after_each(function()
    helper.remove_dir(place)
  end)

  it("says that there is no GPU", function()
    local code, out, err = gpu_check("exit 9", "")
    assert.equal(2, code)
    assert.equal("gpu-check: this machine has no GPU that nvidia-smi reports; nothing was "
      .. "checked\n", err)
    assert.equal("", out)
    assert.is_nil(helper.read_file(place .. "/gpu-check.md"))
  end)

  -- A build whose program says what it is asked, and fails where a word of the shell matches.
  local function fake_program(word, pattern)
    helper.shell("mkdir " .. place .. "/build")
    helper.write_file(place .. "/build/fsam-lua",
      ("#!/bin/sh\necho asked: $@\ncase %s in %s) exit 7 ;; esac\n"):format(word, pattern))
    helper.shell("chmod +x " .. place .. "/build/fsam-lua")
  end

  it("runs all steps of the first minutes within the time, whatever fails", function()
    for arguments, message in pairs({
      ["--within soon"] = "gpu-check: --within soon: expected a number of seconds\n",
      ["--within 5 --fast"] = "gpu-check: --within does not know --fast (--packed FOLDER, "
        .. "--check, --shim)\n",
      ["--within 5 --shim"] = "gpu-check: --shim is of a rehearsal; give --check too\n",
      ["--pack"] = "gpu-check: --pack needs a folder\n",
    }) do
      local code, _, err = gpu_check("exit 9", arguments)
      assert.equal(2, code)
      assert.equal(message, err)
    end
    fake_program("$1", "*smoke.lua")
    local code, out = gpu_check("exit 9", "--within 60 --packed /none", "PYTHON=/none")
    local report = helper.read_file(place .. "/first-minutes.md")
    assert.equal(1, code)
    assert.matches("\n## facts: passed, ", report, 1, true)
    assert.matches("\n## open: passed, ", report, 1, true)
    assert.matches("\n## smoke: failed %(exit code 7%), ", report)
    assert.matches("asked: bench/gpu/smoke.lua device=cuda check=0", report, 1, true)
    assert.matches("\n| kernels | %d+ | %d+ | passed |\n", report)
    assert.matches("\n| cola | | | not done: smoke failed |\n", report, 1, true)
    assert.matches("## All steps: 1 failed, %d+ s of 60", out)
  end)

  it("fails a step of the first minutes of which any part fails, and does the others", function()
    fake_program('"$*"', "*=adam,sam,*|*rounds=4")
    local code, out = gpu_check("exit 9", "--within 60 --packed /none", "PYTHON=/none")
    local report = helper.read_file(place .. "/first-minutes.md")
    assert.equal(1, code)
    assert.matches("== cola: failed (exit code 7), ", out, 1, true)
    assert.matches("optimizers=sam mode=fsam-lua, without graphs turn=3", report, 1, true)
    assert.matches("== 512: failed (exit code 7), ", out, 1, true)
    assert.matches("== tune: passed, ", out, 1, true)
    assert.matches("## All steps: 2 failed, %d+ s of 60", out)
  end)

  it("rehearses them without a GPU, also by the CUDA half on the shim", function()
    for arguments, asked in pairs({
      ["--check"] = "asked: bench/gpu/smoke.lua device=cpu check=1\n",
      ["--check --shim"] = "asked: spec/simt/rehearse.lua bench/gpu/smoke.lua check=1\n",
    }) do
      helper.shell("rm -rf " .. place .. "/build")
      fake_program("$1", "nothing")
      local code = gpu_check("exit 9", "--within 60 --packed /none " .. arguments, "PYTHON=/none")
      local report = helper.read_file(place .. "/first-minutes.md")
      assert.equal(0, code)
      assert.matches(asked, report, 1, true)
      assert.matches("\n## kernels: not done here, ", report, 1, true)
    end
  end)

  it("names a stage that it does not know", function()
    local code, _, err = gpu_check("exit 9", "kernels everything")
    assert.equal(2, code)
    assert.matches("^gpu%-check: stage everything is unknown", err)
  end)

  it("reports what failed, and that nothing else could be run without the half", function()
    local code, out = gpu_check("echo Fake GPU", "kernels")
    local report = helper.read_file(place .. "/gpu-check.md")
    assert.equal(1, code)
    assert.equal(report, out)
    assert.matches("\n\nFake GPU\n\n", report, 1, true)
    assert.matches(("There is no %s/build/libfsam-cuda.so: the other stages were not run."):format(
      place), report, 1, true)
  end)
end)
