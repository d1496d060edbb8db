# Runs a Homebrew formula without Homebrew: what it installs goes below a directory, then its test runs. For
# scripts/packages-check.
#
#   ruby scripts/formula.rb FORMULA SOURCE PREFIX
#
# SOURCE is what Homebrew would have unpacked. Only what our formula uses is here, by the meaning that Homebrew gives it; another
# word is an error.

require "fileutils"
require "pathname"

FORMULA, SOURCE, PREFIX = ARGV.map { |path| Pathname(path).expand_path }

# Methods that Homebrew adds to a path.
class Pathname
  def install(*files)
    mkpath
    files.each { |file| FileUtils.cp_r(file, self) }
  end

  alias plain_write write
  def write(text)
    raise "#{self} is there already" if exist?

    dirname.mkpath
    plain_write(text)
  end
end

# Methods by which Homebrew calls programs.
module Utils
  def self.safe_popen_read(*command)
    output = IO.popen(command.map(&:to_s), &:read)
    raise "#{command.join(" ")} failed" unless $?.success?

    output
  end
end

# The words of a formula.
class Formula
  FIELDS = %i[desc homepage url sha256 license].freeze

  class << self
    attr_reader :fields, :test_block, :dependencies

    FIELDS.each do |field|
      define_method(field) { |value| (@fields ||= {})[field] = value }
    end

    def depends_on(name)
      (@dependencies ||= []) << name
    end

    def uses_from_macos(name)
      depends_on(name)
    end

    def test(&block)
      @test_block = block
    end
  end

  def prefix = PREFIX
  def bin = PREFIX/"bin"
  def man1 = PREFIX/"share/man/man1"
  def pkgshare = PREFIX/"share/hsanalyze"
  def std_cargo_args = ["--locked", "--root", PREFIX.to_s, "--path", "."]

  def system(*command)
    raise "#{command.join(" ")} failed" unless Kernel.system(*command.map(&:to_s))
  end

  def generate_completions_from_executable(*command)
    { "bash" => "etc/bash_completion.d/hsanalyze", "zsh" => "share/zsh/site-functions/_hsanalyze",
      "fish" => "share/fish/vendor_completions.d/hsanalyze.fish" }.each do |shell, place|
      (PREFIX/place).write(Utils.safe_popen_read(*command, shell))
    end
  end

  def shell_output(command, status = 0)
    output = `#{command}`
    raise "#{command}: status #{$?.exitstatus}, not #{status}" unless $?.exitstatus == status

    output
  end

  def assert_match(wanted, text)
    raise "no #{wanted} in #{text}" unless text.include?(wanted)
  end
end

load FORMULA.to_s
missing = %i[desc url sha256 license] - Hsanalyze.fields.keys
raise "the formula has no #{missing.join(", ")}" unless missing.empty?

Dir.chdir(SOURCE) { Hsanalyze.new.install }
Hsanalyze.new.instance_eval(&Hsanalyze.test_block)
puts Dir.glob("#{PREFIX}/**/*").select { |path| File.file?(path) }.map { |path| path.delete_prefix("#{PREFIX}/") }.sort
