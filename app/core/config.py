"""Settings, from the environment or `.env`, prefix `PHANTOM_`. Every one is documented in docs/settings.md."""

from functools import cached_property
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="PHANTOM_", env_file=".env", extra="ignore")

    data_dir: Path = Field(Path("studio-data"), description="Folder that holds everything the studio keeps.")
    database_url: str = Field("", description="SQLAlchemy URL; empty: SQLite in the data folder.")
    broker_url: str = Field("", description="redis:// URL; empty: the studio starts its own Valkey.")
    storage_url: str = Field("", description="Where artifacts lie: file:///path; empty: the data folder.")
    host: str = Field("127.0.0.1", description="Address the web process listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port the web process listens on.")
    weights_dir: Path | None = Field(None, description="Folder of pretrained weights, <architecture>.safetensors.")
    max_upload_gb: float = Field(20, gt=0, description="Largest upload, in GB (10^9 bytes).")
    max_unpacked_gb: float = Field(50, gt=0, description="Largest unpacked size of one archive, in GB.")
    max_files: int = Field(100_000, ge=1, description="Most files in one upload.")
    upload_days: float = Field(7, gt=0, description="Days after which an upload that nobody goes on with is discarded.")
    import_roots: str = Field(
        "", description="Folders on the server that may be imported from, absolute, with colons between; empty: none."
    )
    log_format: str = Field("text", pattern="^(text|json)$", description="text or json.")

    @field_validator("import_roots")
    @classmethod
    def names_absolute_folders(cls, given: str) -> str:
        if relative := [root for root in given.split(":") if root.strip() and not Path(root.strip()).is_absolute()]:
            raise ValueError(f"PHANTOM_IMPORT_ROOTS holds {relative[0]!r}; each folder in it must be an absolute path.")
        return given

    @property
    def import_folders(self) -> list[Path]:
        """The folders below which imports may read what lies on the server."""
        return [Path(root.strip()) for root in self.import_roots.split(":") if root.strip()]

    @cached_property
    def folder(self) -> Path:
        """The data folder, absolute."""
        return self.data_dir.expanduser().resolve()

    @property
    def effective_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.folder / 'studio.sqlite3'}"

    @property
    def files_dir(self) -> Path:
        """Where the local storage keeps its files."""
        if self.storage_url.startswith("file://"):
            return Path(self.storage_url.removeprefix("file://"))
        return self.folder / "files"

    @property
    def uploads_dir(self) -> Path:
        return self.folder / "uploads"

    @property
    def jobs_dir(self) -> Path:
        """Attempt folders and checkpoints of jobs: <jobs_dir>/<job id>/<attempt>/."""
        return self.folder / "jobs"

    @property
    def cache_dir(self) -> Path:
        """What can be made again: decoded image arrays."""
        return self.folder / "cache"
