--- Hostile and broken PyTorch files: each gives one line, takes little memory, and runs nothing.
local ffi = require("fsam.C").ffi
local errors = require("fsam.errors")
local globals = require("fsam.formats.pytorch.globals")
local helper = require("spec.helper")
local legacy = require("fsam.formats.pytorch.legacy")
local pickle = require("fsam.formats.pytorch.pickle")
local pytorch = require("fsam.formats.pytorch")
local storage = require("fsam.formats.pytorch.storage")
local zip = require("fsam.formats.pytorch.zip")
local zip_writer = require("fsam.formats.pytorch.zip_writer")

local GOLDEN = "spec/golden/pytorch/"

describe("a pickle", function()
  local function read(text)
    local bytes = ffi.new("uint8_t[?]", #text + 1)
    ffi.copy(bytes, text, #text)
    return pickle.read({ path = "p", data = bytes, at = 0, limit = #text, globals = globals,
      persistent = storage.reader({}) })
  end

  local STORAGE = "(U\7storagectorch\nFloatStorage\nU\0010U\3cpuK\4tQ"
  local REBUILD = "ctorch._utils\n_rebuild_tensor_v2\n"

  local DEFECTS = {
    { "", "the file ends inside it" },
    { "K", "the file ends inside it" },
    { "X\255\255\255\255a", "the file ends inside it" },
    { "\142\255\255\255\255\255\255\255\255a", "the file ends inside it" },
    { ".", "it needs a value where there is none" },
    { "(.", "it needs a value where there is none" },
    { "K\1(R.", "it needs a value where there is none" },
    { "t.", "it needs a mark where there is none" },
    { "h\7.", "it names value 7, which was not stored" },
    { "\128\6.", "protocol 6; 0 to 5 are supported" },
    { "\130\1.", "0x82 is no operation that is supported" },
    { "z.", "z is no operation that is supported" },
    { "\139\255\255\255\127", "an integer of 2147483647 bytes" },
    { "K\1K\2a.", "it appends to 1" },
    { "}(K\1u.", "a key has no value" },
    { "]K\1K\2s.", "it sets members of a list" },
    { "Iabc\n.", '"abc" is no integer' },
    { "Fabc\n.", '"abc" is no number' },
    { "S'abc\n.", "a text has no quotes" },
    { "pabc\n", "a place in its memory is no number" },
    { "c" .. ("a"):rep(2000) .. "\nb\n.", "a line is too long" },
    { "K\1K\2\147.", "a class is named by 1" },
    { "cos\nsystem\nK\1R.", "the arguments of a class are 1" },
    { "K\1Q.", "1 stands for data, expected a storage" },
    { "(U\7storagecos\nsystem\nU\0010U\3cpuK\4tQ.", "a storage of the name os.system" },
    { REBUILD .. "(K\1K\0)" .. ")tR.", "a tensor of 1, expected a storage" },
    { REBUILD .. "(" .. STORAGE .. "K\0K\5\133K\1\133tR.", "is not within its storage of 4" },
    { REBUILD .. "(" .. STORAGE .. "K\1K\4\133K\1\133tR.", "is not within its storage of 4" },
    { REBUILD .. "(" .. STORAGE .. "K\0K\2\133J\255\255\255\127\133tR.", "not within its storage" },
    { REBUILD .. "(" .. STORAGE .. "K\0J\255\255\255\255\133K\1\133tR.", "the size of a tensor" },
    { REBUILD .. "(" .. STORAGE .. "K\0K\2\133)tR.", "1 sizes and 0 strides" },
    { REBUILD .. "(" .. STORAGE .. "G" .. ("\255"):rep(8) .. "))tR.", "begins at nan" },
    { "ccollections\nOrderedDict\nK\1\133R.", "a dict of 1" },
    { (")"):rep(pickle.MAX_STEPS + 1), "more than 1048576 operations" },
    { "](" .. ("K\1"):rep(2000) .. "eq\0000cbuiltins\nlist\nq\0010"
      .. ("h\1h\0\133R0"):rep(2000) .. ".", "its calls copy more than" },
  }

  for i, case in ipairs(DEFECTS) do
    it(("is refused: %s (%d)"):format(case[2], i), function()
      local ok, err = pcall(read, case[1])
      assert.is_false(ok)
      assert.is_true(errors.is(err), tostring(err))
      assert.truthy(tostring(err):find("^p: byte %d+ of its pickle: "), tostring(err))
      assert.truthy(tostring(err):find(case[2], 1, true), tostring(err))
      assert.is_nil(tostring(err):find("\n"))
    end)
  end

  it("may nest without end, hold itself, and keep NaNs of any bits", function()
    local deep = read(("]"):rep(100000) .. ("a"):rep(99999) .. ".")
    assert.equal("list", deep[1][1].is)
    assert.is_true(read("]q\0h\0a.")[1] ~= nil)
    local nan = read("G\255\248\1\2\3\4\5\6.")
    assert.is_true(nan ~= nan)
    assert.equal(-math.huge, read("G\255\240\0\0\0\0\0\0."))
    assert.equal("object", read("cos\nsystem\n(U\4exittR.").is)
    assert.equal("object", read("(U\4exitios\nsystem\n.").is)
  end)
end)

describe("a PyTorch file", function()
  local folder

  before_each(function()
    folder = helper.memory_dir()
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  local function open(bytes)
    local ok, err = pcall(pytorch.open, helper.write_file(folder .. "/x.pt", bytes))
    if ok then
      for _, name in ipairs(err.names) do
        err:get(name):values()
      end
      err:close()
      return nil
    end
    assert.is_true(errors.is(err), tostring(err))
    assert.is_nil(tostring(err):find("\n"))
    return tostring(err):gsub(folder .. "/", "")
  end

  for _, name in ipairs({ "hostile", "values_legacy" }) do
    it("cut anywhere is refused: " .. name, function()
      local bytes = helper.read_file(GOLDEN .. name .. ".pt")
      for length = 0, #bytes - 1 do
        assert.truthy(open(bytes:sub(1, length)), "of " .. length)
      end
      assert.is_nil(open(bytes))
    end)
  end

  it("of another kind is named", function()
    assert.equal("x.pt is no file of PyTorch's torch.save", open("hello"))
    assert.truthy(open(("\0"):rep(257) .. "ustar" .. ("\0"):rep(300)):find("x.pt is a tar file",
      1, true))
    assert.equal("x.pt is a zip file, but none of PyTorch's: it has no data.pkl",
      open("PK\3\4PK\5\6" .. ("\0"):rep(18)))
    assert.truthy(open(legacy.MAGIC .. "\128\2M\233\2."):find("the file ends inside it", 1, true))
    assert.truthy(open(legacy.MAGIC .. "\128\2M\233\2.\128\2}.\128\2}.\128\2].")
      :find("PyTorch's protocol is 745, expected 1001", 1, true))
  end)
end)

describe("a zip file's directory", function()
  -- The bytes of a zip of files: name, content, name, content, …
  local function archive(...)
    local list, parts, given = {}, {}, { ... }
    for i = 1, #given, 2 do
      list[#list + 1] = { name = given[i], bytes = #given[i + 1], each_block = function(fn)
        fn(given[i + 1], #given[i + 1])
      end }
    end
    local writer = { written = 0 }
    function writer:write(data, bytes)
      parts[#parts + 1] = bytes and ffi.string(data, bytes) or data
      self.written = self.written + #parts[#parts]
    end
    zip_writer.write(writer, list)
    return table.concat(parts)
  end

  -- Reads all entries of a zip; returns name → content.
  local function read(text)
    local bytes, found = ffi.new("uint8_t[?]", #text + 1), {}
    ffi.copy(bytes, text, #text)
    local names, entries = zip.read("z", bytes, #text)
    for _, name in ipairs(names) do
      local start = zip.start("z", bytes, #text, name, entries[name])
      found[name] = ffi.string(bytes + start, entries[name].size)
    end
    return found
  end

  local TWO = archive("a/x", "first", "a/y", "second")
  local DIRECTORY, LAST = TWO:find("PK\1\2", 1, true), #TWO - 21

  -- TWO with other bytes from a place on.
  local function patched(at, bytes)
    return TWO:sub(1, at - 1) .. bytes .. TWO:sub(at + #bytes)
  end

  it("gives each entry's bytes by a name that is never a path", function()
    assert.same({ ["a/x"] = "first", ["a/y"] = "second" }, read(TWO))
    local names = { ["../../etc/passwd"] = "1", ["/etc/passwd"] = "2", ["C:\\x"] = "3", [""] = "4" }
    assert.same(names, read(archive("../../etc/passwd", "1", "/etc/passwd", "2", "C:\\x", "3", "",
      "4")))
    assert.same({ ["a/x"] = "first", ["a/y"] = "second" }, read(TWO:sub(1, -3) .. "\7\0comment"))
  end)

  it("is refused where it does not hold together", function()
    local full = "\255\255\255\255"
    for _, case in ipairs({
      { patched(LAST + 10, "\255\255"), "65535 entries in " },
      { patched(LAST + 12, full), "do not fit in the file" },
      { patched(LAST + 16, full), "do not fit in the file" },
      { patched(LAST + 10, "\1\0"), nil },
      { patched(DIRECTORY, "PK\1\3"), "entry 1 is not where it should be" },
      { patched(DIRECTORY + 28, "\255\255"), "entry 1 ends beyond it" },
      { patched(DIRECTORY + 10, "\8\0"), "a/x is compressed" },
      { patched(DIRECTORY + 24, "\6\0\0\0"), "a/x is compressed" },
      { patched(DIRECTORY + 20, full .. full), "a/x ends beyond the file" },
      { patched(DIRECTORY + 42, full), "a/x is not at byte 4294967295" },
      { patched(DIRECTORY + 42, "\1\0\0\0"), "a/x is not at byte 1" },
      { TWO:sub(1, LAST - 1) .. "PK\6\7" .. ("\255"):rep(16) .. TWO:sub(LAST),
        "its 64-bit end is not at byte" },
      { archive("a/x", "1", "a/x", "2"), "two entries have the name a/x" },
      { TWO:sub(1, LAST - 1), "is a zip file without its end: it is truncated" },
    }) do
      local ok, err = pcall(read, case[1])
      assert.equal(case[2] == nil, ok)
      if case[2] then
        assert.is_true(errors.is(err), tostring(err))
        assert.truthy(tostring(err):find(case[2], 1, true), tostring(err))
      end
    end
  end)
end)
