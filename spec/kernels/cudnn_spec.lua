-- Attention's graphs before cuDNN itself, without a GPU: they are well formed, and cuDNN has a plan
-- for them on an H200, whose kernel gives the same bits every time. A C program of this folder asks
-- (cudnn_check.c). Compiling plans, and running them, takes a GPU: gpu_spec.lua.
local helper = require("spec.helper")
local lfs = require("lfs")
local quote = helper.quote

-- What cuDNN writes of such a GPU.
local H200 = [[{"deviceName":"NVIDIA H200","deviceVer":900,"driverVer":13000,"cudaDeviceId":0,]]
  .. [["pciDeviceId":0,"isTccDriver":0,"supportCoopLaunch":1,"multiProcessorCount":132,]]
  .. [["maxGridSize":[2147483647,65535,65535],"maxBlockSize":[1024,1024,64],]]
  .. [["maxThreadsPerBlock":1024,"maxThreadsPerSM":2048,"maxCtasPerSM":32,"warpSize":32,]]
  .. [["regsPerBlock":65536,"maxRegistersPerSM":65536,"maxSharedMemoryPerBlock":49152,]]
  .. [["maxSharedMemoryPerBlockOptin":232448,"reservedSharedMemoryPerBlock":1024,]]
  .. [["l2CacheSize":62914560,"smClockRateKHz":1980000,"memClockRateKHz":3201000,]]
  .. [["totalGlobalMem":150000000000}]]
local SAMPLES = 32
local HEADS = { base = 12, large = 16 }
local TENTH = 6554 -- of 65536: dropout of 0.1
-- Operations of the graphs: forward and backward, without and with dropout.
local OPERATIONS = { [0] = { [0] = "16", "23" }, [TENTH] = { [0] = "19", "28" } }

--- The toolkit's folder, or nil where it or cuDNN's headers are absent.
local function toolkit()
  local _, nvcc = helper.shell([[readlink -f "$(command -v nvcc || echo ]]
    .. [[/usr/local/cuda/bin/nvcc)"]])
  local folder = nvcc:match("^(.*)/bin/nvcc\n$")
  return folder and lfs.attributes(folder .. "/include/cudnn_graph.h") and folder or nil
end

--- Compiles the program; where there is no driver, puts the toolkit's stand-in for it beside.
local function build(folder, cuda)
  local code, _, err = helper.shell(("cc -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror "
    .. "-I. -I%s/include -isystem %s/include -o %s/check spec/kernels/cudnn_check.c "
    .. "kernels/vendor/cudnn_cuda.c kernels/vendor/cudnn_attention_graph_cuda.c -ldl"):format(
    quote(helper.build_dir()), quote(cuda), folder))
  assert.equal(0, code, err)
  helper.write_file(folder .. "/h200.json", H200)
  helper.shell(("test -n \"$(ldconfig -p | grep libcuda.so.1)\" || ln -s %s/lib64/stubs/libcuda.so "
    .. "%s/libcuda.so.1"):format(quote(cuda), folder))
end

--- What it answers about each line of "samples longest heads d threshold backward".
local function ask(folder, cuda, lines)
  local code, out, err = helper.shell(("LD_LIBRARY_PATH=%s:%s/lib64:$LD_LIBRARY_PATH %s/check "
    .. "%s/h200.json"):format(folder, quote(cuda), folder, folder), table.concat(lines, "\n"))
  if code == 77 then
    return nil, out
  end
  assert.equal(0, code, err)
  local answers = {}
  for answer in out:gmatch("[^\n]+") do
    answers[#answers + 1] = answer
  end
  assert.equal(#lines, #answers)
  return answers
end

describe("cudnn", function()
  local cuda = toolkit()
  if not cuda then
    pending("no CUDA toolkit with cuDNN's headers: attention's graphs are not checked")
    return
  end
  local folder

  setup(function()
    folder = helper.temp_dir()
    build(folder, cuda)
  end)

  teardown(function()
    helper.remove_dir(folder)
  end)

  it("has plans for RoBERTa's attention on an H200", function()
    local lines, kinds = {}, {}
    for name, heads in pairs(HEADS) do
      for _, longest in ipairs({ 128, 512 }) do
        for threshold in pairs(OPERATIONS) do
          for backward = 0, 1 do
            lines[#lines + 1] = ("%d %d %d 64 %d %d"):format(SAMPLES, longest, heads, threshold,
              backward)
            kinds[#kinds + 1] = { name, longest, heads, threshold, backward }
          end
        end
      end
    end
    local answers, why = ask(folder, cuda, lines)
    if not answers then
      pending(why)
      return
    end
    for i, answer in ipairs(answers) do
      local name, longest, heads, threshold, backward = unpack(kinds[i])
      local what = ("%s, %d, dropout %d, %s: %s"):format(name, longest, threshold,
        backward == 1 and "backward" or "forward", answer)
      local operations, bytes = answer:match("^(%d+) operations, (%d+) bytes$")
      assert.equal(OPERATIONS[threshold][backward], operations, what)
      -- Backward without atomics keeps dS in the workspace, and little else; forward keeps nothing
      -- of that size.
      local ds = SAMPLES * heads * longest * longest * 2
      local least = backward == 1 and ds or 0
      assert.is_true(tonumber(bytes) >= least and tonumber(bytes) < least + 2 ^ 20, what)
    end
  end)

  it("has plans for all heads that it is given, and says so of others", function()
    local lines = { "1 128 2 8 0 0", "1 128 2 8 0 1", "8 256 1 72 0 0", "8 256 1 72 6554 1",
      "2 1024 3 128 0 1", "2 1024 3 128 32768 1", "1 128 2 12 0 0" }
    local answers, why = ask(folder, cuda, lines)
    if not answers then
      pending(why)
      return
    end
    for i = 1, #lines - 1 do
      assert.matches("^%d+ operations, %d+ bytes$", answers[i], lines[i])
    end
    assert.matches("^attention: cuDNN 9.%d+ cannot .* for this %(.*%); use the other kernels "
      .. "%(FSAM_ATTENTION=own, %-%-attention%-dropout%-rng own%)$", answers[#lines])
  end)

  it("says in one line that cuDNN is absent or too old", function()
    -- Libraries of that name, found first: one without its functions, one of 9.17.
    local old = "unsigned long cudnnGetVersion(void) { return 91700; }\n"
    for name in ("GetErrorString GetLastErrorString Create Destroy SetStream "
      .. "BackendCreateDescriptor BackendDestroyDescriptor BackendFinalize BackendSetAttribute "
      .. "BackendGetAttribute BackendExecute"):gmatch("%a+") do
      old = old .. ("void cudnn%s(void) {}\n"):format(name)
    end
    for source, message in pairs({
      [""] = "attention: cuDNN 9.18 or newer (libcudnn.so.9) was not found; install it, or name "
        .. "its folder in LD_LIBRARY_PATH, or use the other kernels (FSAM_ATTENTION=own, "
        .. "--attention-dropout-rng own)\n",
      [old] = "attention: cuDNN 9.18 or newer is needed, here is 9.17; update it, or use the other "
        .. "kernels (FSAM_ATTENTION=own, --attention-dropout-rng own)\n",
    }) do
      local code, out, err = helper.shell(("mkdir -p %s/fake && cc -shared -fPIC -x c -o "
        .. "%s/fake/libcudnn.so.9 - && LD_LIBRARY_PATH=%s/fake %s/check %s/h200.json"):format(
        folder, folder, folder, folder, folder), source)
      assert.equal("", err)
      assert.equal(77, code)
      assert.equal(message, out)
    end
  end)
end)
