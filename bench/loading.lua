--- Loading a checkpoint against one read of its file into new memory: time of the processor and of
-- the wall and peak memory, each in a process of its own, in alternation. Prints a table of one row
-- in Markdown: medians, and their ratios.
--
--     fsam-lua bench/loading.lua make FOLDER [ARCH = roberta_large] [DTYPE = F32]
--     fsam-lua bench/loading.lua PATH [PRECISION = fp32] [THREADS = all] [PAIRS = 5]
--
-- `make` writes a model of an architecture with RoBERTa's vocabulary, all of whose blocks of a
-- million numbers are alike. PATH: what fsam-lua opens; of a folder its model.safetensors or
-- pytorch_model.bin is the file that is read. The file should be in the page cache: the first pair
-- is not counted. The working copy, which is filled at its first use, is timed beside loading.
local fsam = require("fsam")
local C = require("fsam.C")
local ffi = C.ffi

ffi.cdef([[
struct bench_time { long seconds, microseconds; };
struct bench_usage { struct bench_time user, system; long peak, rest[13]; };
int getrusage(int who, struct bench_usage *usage);
int open(const char *path, int flags, ...);
long pread(int fd, void *to, size_t bytes, long offset);
void *mmap(void *at, size_t bytes, int protection, int flags, int fd, long offset);
]])

local function seconds(t)
  return tonumber(t.seconds) + tonumber(t.microseconds) / 1e6
end

-- The wall's and the processor's seconds so far, and the peak of memory in MB.
local function now()
  local u = ffi.new("struct bench_usage")
  ffi.C.getrusage(0, u)
  return { wall = C.lib.fsam_clock(), cpu = seconds(u.user) + seconds(u.system),
    peak = tonumber(u.peak) * 1024 / 1e6 }
end

local function print_since(start)
  local stop = now()
  print(("%.6f %.6f %.1f"):format(stop.wall - start.wall, stop.cpu - start.cpu, stop.peak))
end

local modes = {}

-- One read of the file into memory that no one has used, a megabyte at a time.
function modes.read(path)
  local MEGABYTE = 2 ^ 20
  local size = require("lfs").attributes(path, "size")
  local start = now()
  local fd = ffi.C.open(path, 0)
  local memory = ffi.cast("char *", ffi.C.mmap(nil, size, 3, 0x22, -1, 0))
  for at = 0, size - 1, MEGABYTE do
    local want = math.min(MEGABYTE, size - at)
    assert(ffi.C.pread(fd, memory + at, want, at) == want, "a short read")
  end
  print_since(start)
end

function modes.load(path, precision, threads)
  fsam.device.threads(tonumber(threads))
  local device = fsam.device.open("cpu")
  local start = now()
  local model = fsam.models.load({ path = path, device = device, precision = precision })
  print_since(start)
  local loaded = now()
  model.params:flush() -- as a pass begins
  print_since(loaded)
  print(model.count)
end

function modes.make(folder, arch, dtype)
  local BLOCK = 2 ^ 20
  dtype = dtype or "F32"
  local width = ({ F32 = 4, F16 = 2, BF16 = 2, F64 = 8 })[dtype]
  local config = require("fsam.models.architectures").config(arch or "roberta_large",
    { vocab_size = 50265, pad_token_id = 1 })
  config = require("fsam.models.config").with_labels(config, { "no", "yes" })
  -- Bytes 0x33 make a small number of each type.
  local block = ffi.new("char[?]", BLOCK * width, 0x33)
  ffi.fill(block, BLOCK * width, 0x33)
  local list = {}
  for i, parameter in ipairs(require("fsam.models.declaration").list(config)) do
    local count = 1
    for _, n in ipairs(parameter.shape) do
      count = count * n
    end
    list[i] = { name = parameter.name, shape = parameter.shape, dtype = dtype,
      data = function(writer)
        for first = 0, count - 1, BLOCK do
          writer:write(block, math.min(BLOCK, count - first) * width)
        end
      end }
  end
  require("fsam.base.file").make_folder(folder)
  require("fsam.formats.safetensors").write(folder .. "/model.safetensors", list)
  require("fsam.base.file").write(folder .. "/config.json",
    require("fsam.models.config").encode(config))
end

-- The lines of numbers that this script prints in another process.
local function ask(...)
  local words = { "exec", arg[-1] or "fsam-lua", arg[0], ... }
  for i = 2, #words do
    words[i] = "'" .. tostring(words[i]):gsub("'", "'\\''") .. "'"
  end
  local lines = {}
  local pipe = assert(io.popen(table.concat(words, " ")))
  for line in pipe:lines() do
    local numbers = {}
    for number in line:gmatch("%S+") do
      numbers[#numbers + 1] = assert(tonumber(number), line)
    end
    lines[#lines + 1] = numbers
  end
  pipe:close()
  return lines
end

local function median(list)
  table.sort(list)
  return (list[math.floor((#list + 1) / 2)] + list[math.floor((#list + 2) / 2)]) / 2
end

local function compare(path, precision, threads, pairs_of)
  local lfs = require("lfs")
  local read = path
  for _, name in ipairs({ "/model.safetensors", "/pytorch_model.bin" }) do
    read = lfs.attributes(path .. name) and path .. name or read
  end
  local lists, count = {}, nil
  for pair = 0, pairs_of do
    local once, load = ask("read", read)[1], ask("load", path, precision, threads)
    count = load[3][1]
    for i, value in ipairs({ once[1], once[2], load[1][1], load[1][2], load[1][3], load[2][1],
      load[2][2] }) do
      lists[i] = lists[i] or {}
      lists[i][pair] = value
    end
  end
  local m = {}
  for i, list in ipairs(lists) do
    m[i] = median(list)
  end
  print("| file, MB | threads | read: processor, wall, s | load: processor, wall, s | ratio | "
    .. "c at first use, s | peak beyond w, MB |")
  print("|---|---|---|---|---|---|---|")
  print(("| %.0f | %s | %.2f, %.2f | %.2f, %.2f | %.2f, %.2f | %.2f, %.2f | %.0f |"):format(
    lfs.attributes(read, "size") / 1e6, threads == "0" and "all" or threads, m[2], m[1], m[4], m[3],
    m[4] / m[2], m[3] / m[1], m[7], m[6], m[5] - count * 4 / 1e6))
end

if modes[arg[1]] then
  modes[arg[1]](unpack(arg, 2))
else
  compare(arg[1], arg[2] or "fp32", arg[3] or "0", tonumber(arg[4] or 5))
end
