--- safetensors: what is written and what is read, in one file or several. Defective files have
-- their own spec, safetensors_defects_spec.lua.
local C = require("fsam.C")
local helper = require("spec.helper")
local lfs = require("lfs")
local safetensors = require("fsam.formats.safetensors")
local ffi = C.ffi

describe("safetensors", function()
  local folder, path

  before_each(function()
    folder = helper.temp_dir()
    path = folder .. "/model.safetensors"
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  local function length(n)
    return ffi.string(ffi.new("uint64_t[1]", n), 8)
  end

  local function message_of(f, ...)
    local ok, err = pcall(f, ...)
    assert.is_false(ok)
    assert.is_nil(tostring(err):find("\n"))
    return tostring(err)
  end

  describe("writing", function()
    it("orders by type and name, pads the header, and depends on the content alone", function()
      local floats = ffi.new("float[3]", { 1, 2, 3 })
      local list = {
        { name = "b", dtype = "F32", shape = { 3 }, data = floats },
        { name = "a", dtype = "F32", shape = {}, data = floats },
        { name = "n", dtype = "I64", shape = { 1, 1 }, data = ffi.new("int64_t[1]", 7) },
        { name = "h", dtype = "BF16", shape = { 2 }, data = function(writer)
          writer:write("\1\2")
          writer:write(ffi.new("uint8_t[2]", { 3, 4 }), 2)
        end },
      }
      safetensors.write(path, list)
      local header = '{"__metadata__":{"format":"pt"},'
        .. '"n":{"dtype":"I64","shape":[1,1],"data_offsets":[0,8]},'
        .. '"a":{"dtype":"F32","shape":[],"data_offsets":[8,12]},'
        .. '"b":{"dtype":"F32","shape":[3],"data_offsets":[12,24]},'
        .. '"h":{"dtype":"BF16","shape":[2],"data_offsets":[24,28]}}'
      header = header .. (" "):rep(-#header % 8)
      local expected = length(#header) .. header .. length(7) .. ffi.string(floats, 4)
        .. ffi.string(floats, 12) .. "\1\2\3\4"
      assert.equal(expected, helper.read_file(path))
      list[1], list[4] = list[4], list[1]
      safetensors.write(path, list)
      assert.equal(expected, helper.read_file(path))
    end)

    it("refuses what would not be a file", function()
      local data = ffi.new("float[4]")
      local function refuse(...)
        return message_of(safetensors.write, path, { ... })
      end
      local a = { name = "a", dtype = "F32", shape = { 2, 2 }, data = data }
      assert.truthy(refuse(a, a):find("its name is used twice", 1, true))
      assert.truthy(refuse({ name = "__metadata__", dtype = "F32", shape = {}, data = data })
        :find("not a tensor's", 1, true))
      assert.truthy(refuse({ name = "a", dtype = "F31", shape = {}, data = data })
        :find('tensor a: cannot write dtype "F31"', 1, true))
      assert.truthy(refuse({ name = "a", dtype = "F32", shape = { 0.5 }, data = data })
        :find("cannot write shape [0.5]", 1, true))
      assert.truthy(refuse({ name = "a", dtype = "F32", shape = { 2 }, data = function(writer)
        writer:write(data, 4)
      end }):find("tensor a wrote 4 bytes, its dtype and shape need 8", 1, true))
    end)

    it("reports a full disk", function()
      if not lfs.attributes("/dev/full") then
        pending("no /dev/full")
        return
      end
      local data = ffi.new("float[4]")
      assert.equal("cannot write /dev/full: No space left on device",
        message_of(safetensors.write, "/dev/full", {
          { name = "a", dtype = "F32", shape = { 4 }, data = data } }))
    end)
  end)

  describe("reading", function()
    it("gives tensors by name, in file order, with every type's values", function()
      local list = {}
      for i, case in ipairs({ { "U64", "uint64_t", { 2 ^ 53, 1 } }, { "I64", "int64_t", { -5, 9 } },
        { "F64", "double", { -0.25, 4 } }, { "F32", "float", { 1.5, -2 } },
        { "U32", "uint32_t", { 2 ^ 32 - 1, 0 } }, { "I32", "int32_t", { -7, 8 } },
        { "BF16", "uint16_t", { 0x3f80, 0xc000 }, { 1, -2 } },
        { "F16", "uint16_t", { 0x3c00, 0x0001 }, { 1, 2 ^ -24 } },
        { "U16", "uint16_t", { 65535, 1 } }, { "I16", "int16_t", { -3, 1 } },
        { "I8", "int8_t", { -128, 127 } }, { "U8", "uint8_t", { 255, 3 } },
        { "BOOL", "uint8_t", { 1, 0 } } }) do
        local dtype, ctype, stored, expected = unpack(case)
        list[i] = { name = "of " .. dtype, dtype = dtype, shape = { 2, 1 },
          data = ffi.new(ctype .. "[2]", stored), expected = expected or stored }
      end
      safetensors.write(path, list, { why = "spec" })
      local source = safetensors.open(path)
      assert.equal("spec", source.metadata.why)
      assert.equal(#list, #source.names)
      for i, t in ipairs(list) do
        local entry = source:get(t.name)
        assert.equal(t.name, source.names[i])
        assert.same({ 2, 1 }, { unpack(entry.shape) })
        assert.same(t.expected, entry:values())
      end
      assert.is_nil(source:find("none"))
      assert.equal(path .. " has no tensor none", message_of(source.get, source, "none"))
    end)

    it("copies to memory only as much as there is", function()
      safetensors.write(path, {
        { name = "a", dtype = "F32", shape = { 3 }, data = ffi.new("float[3]", { 1, 2, 3 }) },
        { name = "i", dtype = "I32", shape = { 1 }, data = ffi.new("int32_t[1]", 4) } })
      local source = safetensors.open(path)
      local a, i = source:get("a"), source:get("i")
      local out = ffi.new("float[3]")
      a:read_f32(out, 3)
      assert.same({ 1, 2, 3 }, { out[0], out[1], out[2] })
      local raw = ffi.new("char[12]")
      a:read_bytes(raw, 12)
      assert.equal(ffi.string(out, 12), ffi.string(raw, 12))
      assert.equal(ffi.string(out, 12), ffi.string(a.pointer, a.bytes))
      assert.truthy(message_of(a.read_f32, a, out, 4):find("a has 3 elements, 4 are", 1, true))
      assert.truthy(message_of(a.read_bytes, a, raw, 8):find("a has 12 bytes, 8 are", 1, true))
      assert.truthy(message_of(i.read_f32, i, out, 1):find("type I32 does not become f32", 1, true))
      source:close()
      source:close()
      assert.truthy(message_of(a.read_f32, a, out, 3):find("is closed; tensor a cannot", 1, true))
      assert.truthy(message_of(a.values, a):find("is closed", 1, true))
    end)

    it("keeps the file mapped while an entry is referenced", function()
      safetensors.write(path, { { name = "a", dtype = "F32", shape = { 1 },
        data = ffi.new("float[1]", 42) } })
      local entry = safetensors.open(path):get("a")
      for _ = 1, 4 do
        collectgarbage()
      end
      assert.same({ 42 }, entry:values())
    end)

    it("makes any NaN an ordinary one", function()
      safetensors.write(path, { { name = "a", dtype = "F32", shape = { 2 },
        data = ffi.new("uint32_t[2]", { 0xffffa000, 0xff800000 }) } })
      local values = safetensors.open(path):get("a"):values()
      assert.is_true(values[1] ~= values[1])
      assert.equal(-math.huge, values[2])
    end)

    it("accepts a file without tensors and tensors without elements", function()
      helper.write_file(path, length(2) .. "{}")
      assert.equal(0, #safetensors.open(path).names)
      local header = '{"e":{"dtype":"F32","shape":[3,0],"data_offsets":[0,0]}}  '
      helper.write_file(path, length(#header) .. header)
      assert.same({}, safetensors.open(path):get("e"):values())
    end)
  end)

  describe("shards", function()
    local index

    local function write_shard(name, ...)
      local list = {}
      for i, tensor_name in ipairs({ ... }) do
        list[i] = { name = tensor_name, dtype = "F32", shape = { 1 },
          data = ffi.new("float[1]", tensor_name:byte()) }
      end
      safetensors.write(folder .. "/" .. name, list)
    end

    local function refused(weight_map)
      helper.write_file(index, '{"weight_map":' .. weight_map .. "}")
      return (message_of(safetensors.open_index, index):gsub(folder .. "/", ""))
    end

    before_each(function()
      index = path .. ".index.json"
      write_shard("1.safetensors", "b", "c")
      write_shard("2.safetensors", "a")
    end)

    it("read like one file", function()
      helper.write_file(index, '{"metadata":{"total_size":12},"weight_map":{"a":"2.safetensors",'
        .. '"b":"1.safetensors","c":"1.safetensors"}}')
      local source = safetensors.open_index(index)
      assert.same({ "b", "c", "a" }, source.names)
      assert.same({ 97 }, source:get("a"):values())
      assert.same({ 99 }, source:get("c"):values())
      source:close()
      assert.truthy(message_of(source:get("a").values, source:get("a")):find("is closed", 1, true))
    end)

    it("are refused when one is missing, or holds what it should not", function()
      assert.equal("model.safetensors.index.json names 3.safetensors, which does not exist",
        refused('{"a":"3.safetensors"}'))
      assert.equal("model.safetensors.index.json: tensor z is not in 2.safetensors",
        refused('{"a":"2.safetensors","z":"2.safetensors"}'))
      write_shard("3.safetensors", "a")
      assert.truthy(refused('{"a":"2.safetensors","z":"3.safetensors"}')
        :find("tensor a is in 2.safetensors and in 3.safetensors", 1, true))
      assert.truthy(refused('{"a":"../2.safetensors"}')
        :find("the file of a is not a plain file name", 1, true))
      assert.truthy(refused('{"a":1}'):find("the file of a is not a plain file name", 1, true))
      assert.truthy(refused("{}"):find("has no weight_map", 1, true))
      assert.truthy(refused("3"):find("has no weight_map", 1, true))
      helper.write_file(index, "[")
      assert.truthy(message_of(safetensors.open_index, index):find("line 1, column 2", 1, true))
    end)
  end)
end)
