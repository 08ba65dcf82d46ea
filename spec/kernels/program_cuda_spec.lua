-- Vector programs' generated CUDA kernels. The shim replays all programs of the vector language's
-- specs, and of steps of every sam-type and base optimizer, and must leave the CPU's bits. NVRTC
-- compiles them without a warning and contracts nothing.
local C = require("fsam.C")
local helper = require("spec.helper")
local lfs = require("lfs")
local optim = require("fsam.optim")
local sam = require("fsam.sam")
local simt = require("spec.simt.device")

local LANGUAGE = { "mask", "operators", "order", "random", "reductions", "sequences", "steps" }

-- Steps of every sam-type and base optimizer.
local function run_all_types()
  local model = require("spec.lua.logistic")
  for _, name in ipairs(optim.names()) do
    model.by_engine(nil, {}, nil, name)
    model.by_engine("sam", {}, nil, name)
  end
  for _, name in ipairs(sam.names()) do
    model.by_engine(name, { fisher = "batch", k = 2, momentum = 0.9 })
  end
end

describe("vector programs on cuda leave the bits that the CPU leaves", function()
  local lib, why = simt.load()
  if not lib then
    pending(why)
    return
  end
  local programs = require("spec.simt.programs")

  local recorded = {}

  local function agree(fn)
    local first, count = programs.record(fn)
    recorded[#recorded + 1] = { first, count }
    programs.build(first, count)
    for i = first, first + count - 1 do
      programs.replay(i)
    end
    assert.is_true(count > 0)
    return first, count
  end

  it("in all that the specs of the language compute", function()
    agree(function()
      for _, name in ipairs(LANGUAGE) do
        programs.run_spec(("spec/lua/vector/%s_spec.lua"):format(name))
      end
    end)
  end)

  it("over many blocks, in many reductions, in functions of any number", function()
    agree(function()
      for _, case in pairs(require("spec.simt.program_cases")) do
        case()
      end
    end)
  end)

  it("in the steps of every sam-type and base optimizer, which NVRTC takes as they are", function()
    local first, count = agree(run_all_types)
    local version, missing = programs.nvrtc()
    if not version then
      print("program_cuda_spec: " .. missing)
      return
    end
    local source = programs.source(first, count)
    for _, arch in ipairs({ 80, 90 }) do
      local ptx = programs.ptx(source, arch)
      assert.truthy(ptx:find("mul.rn.f32", 1, true))
      assert.is_nil(ptx:find("fma.rn.f32", 1, true))
    end
  end)

  it("and on a GPU as well #cuda", function()
    local found, gpu = pcall(require("fsam.base.device").open, "cuda")
    if not found then
      pending("no GPU: vector programs run on the shim only")
      return
    end
    for _, range in ipairs(recorded) do
      for i = range[1], range[1] + range[2] - 1 do
        programs.replay(i, gpu)
      end
    end
  end)
end)

describe("a vector program on cuda", function()
  local lib, why = simt.load()
  if not lib then
    pending(why)
    return
  end

  it("is refused when one sweep reduces more vectors than fit", function()
    local op = require("fsam.vector.instructions").OP
    local out = C.ffi.new("fsam_device *[1]")
    simt.open(out)
    local device, made = C.ffi.gc(out[0], C.lib.fsam_device_close), C.ffi.new("fsam_program *[1]")
    local code = C.ffi.new("fsam_instruction[27]")
    code[0].op, code[26].op = op.SWEEP, op.END
    for i = 1, 25 do
      code[i] = { op = op.DOT, space = 2, out = i - 1, a = 2 * i - 2, b = 2 * i - 1 }
    end
    local size = C.ffi.new("fsam_program_size", { bound = 50, scalars = 25 })
    assert.is_true(C.lib.fsam_program_new(made, device, code, 27, size) < 0)
    assert.equal("program: the reductions of one sweep look at 50 vectors, on cuda at most 48: "
      .. "flush earlier", C.ffi.string(C.lib.fsam_error()))
  end)
end)

describe("compiled programs on disk", function()
  local lib = simt.load()
  local programs = lib and require("spec.simt.programs")
  local version, why = nil, "no C++ compiler"
  if lib then
    version, why = programs.nvrtc()
  end
  if not version then
    pending(why)
    return
  end

  it("are found again, and made again when damaged", function()
    C.ffi.cdef("int setenv(const char *name, const char *value, int replace); int getpid(void);")
    local folder, before = helper.temp_dir(), os.getenv("XDG_CACHE_HOME")
    C.ffi.C.setenv("XDG_CACHE_HOME", folder, 1)
    local i, count = programs.record(function()
      local P = require("spec.lua.vector.support").model()
      P.w:set(P.w * 3 - P.w:norm())
      P:commit()
    end)
    assert.equal(1, count)
    local made = programs.cubin(i, 90)
    local path
    for name in lfs.dir(folder .. "/fsam-lua") do
      path = name:match("^%x+%.cubin$") and folder .. "/fsam-lua/" .. name or path
    end
    local bytes = helper.read_file(path)
    assert.equal(made, programs.cubin(i, 90))
    helper.write_file(path, bytes:sub(1, -2) .. string.char((bytes:byte(-1) + 1) % 256))
    assert.equal(made, programs.cubin(i, 90))
    assert.equal(bytes, helper.read_file(path))
    -- Files that other hosts are writing, whose processes have this one's number.
    local others = {}
    for n, host in ipairs({ "", "another." }) do
      others[n] = ("%s.%s%d"):format(path, host, C.ffi.C.getpid())
      helper.write_file(others[n], "half")
    end
    helper.write_file(path, bytes:sub(1, 100))
    assert.equal(made, programs.cubin(i, 90))
    assert.equal(bytes, helper.read_file(path))
    for _, other in ipairs(others) do
      assert.equal("half", helper.read_file(other))
    end
    -- Where its own cannot be written, the program is compiled all the same, and nothing kept.
    local _, host = helper.shell("uname -n")
    assert(lfs.mkdir(("%s.%s.%d"):format(path, (host:gsub("%s", "")), C.ffi.C.getpid())))
    assert(os.remove(path))
    assert.equal(made, programs.cubin(i, 90))
    assert.is_nil(helper.read_file(path))
    assert.not_equal(made, programs.cubin(i, 80))
    C.ffi.C.setenv("XDG_CACHE_HOME", before or "", 1)
    helper.remove_dir(folder)
  end)
end)
